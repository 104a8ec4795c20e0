#!/usr/bin/env bash
# Tools: scim-patch 0.8.3 and scimmy 1.3.5 (Node.js), scim2-models 0.12.3 (Python), UnboundID's scim2-sdk-common 4.1.0 (Java): what a SCIM server uses to
#   carry out the changes by which a directory takes a leaver out: PATCH of a user's `active`, PATCH of a group's members.
# Expected: who was deactivated is not active and who was taken out is no member, or the request is refused. Names of attributes have no case and may be
#   written in full (RFC 7643 2.1, RFC 7644 3.10).
# Happens: of scim-patch `Active` makes a second attribute beside `active`, which stays true; of UnboundID the full name does, as an extension of
#   that name. "False" as text, as one large directory sends it, is kept as text by both: in JavaScript that counts as true. scim-patch removes a member
#   given as value only if all of its fields are equal: one with a display name, or with a `$ref` in the request, stays. All without an error, so
#   that the server answers with success. scim2-models does what is meant; scimmy refuses what it does not know.
# Hurts: the directory shows that the agent was deactivated and taken out of "may listen", its log shows success, and the contact center goes on letting them
#   in; nobody looks again, as a directory sends only what changed.
# Instead: normalise names and the texts "True"/"False" before the library; after each PATCH refuse a user whose `active` is not a boolean, or who
#   has attributes that the schema does not know; compare the whole list of active users and members with the directory every night.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scim2-models==0.12.3
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund scim-patch@0.8.3 scimmy@1.3.5
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>com.unboundid.product.scim2</groupId><artifactId>scim2-sdk-common</artifactId><version>4.1.0</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
# name, resource, operation
cat > asks.json <<'JSON'
[["active: false", "User", {"op": "replace", "path": "active", "value": false}],
 ["active: \"False\"", "User", {"op": "replace", "path": "active", "value": "False"}],
 ["Active: false", "User", {"op": "replace", "path": "Active", "value": false}],
 ["full name", "User", {"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false}],
 ["member by filter", "Group", {"op": "remove", "path": "members[value eq \"b\"]"}],
 ["member by value", "Group", {"op": "remove", "path": "members", "value": [{"value": "b"}]}],
 ["member by value and $ref", "Group", {"op": "remove", "path": "members", "value": [{"value": "c", "$ref": "../Users/c"}]}]]
JSON
cat > resources.json <<'JSON'
{"User": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "1", "userName": "agent", "active": true},
 "Group": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "id": "2", "displayName": "may listen",
   "members": [{"value": "a"}, {"value": "b", "display": "Agent B"}, {"value": "c"}]}}
JSON
cat > ask.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { scimPatch } from 'scim-patch';
import SCIMMY from 'scimmy';
const read = (name) => JSON.parse(readFileSync(name, 'utf8'));
const show = (it) => it.members ? it.members.map((one) => one.value).join(' ') : 'active' in it ? `active is ${JSON.stringify(it.active)}` : 'none';
for (const [name, kind, operation] of read('asks.json')) {
  const known = () => ({ ...read('resources.json')[kind], meta: { resourceType: kind } });
  console.log(`${name}, scim-patch: ${show(scimPatch(known(), [structuredClone(operation)]))}`);
  try {
    const patch = new SCIMMY.Messages.PatchOp({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [operation] });
    const before = new SCIMMY.Schemas[kind](known());
    console.log(`${name}, scimmy: ${show(await patch.apply(before, (it) => it) ?? before)}`);
  } catch (error) {
    console.log(`${name}, scimmy: refused`);
  }
}
JS
cat > ask.py <<'PY'
import json
from scim2_models import Context, Group, PatchOp, User
resources = json.load(open("resources.json"))
for name, kind, operation in json.load(open("asks.json")):
    model = {"User": User, "Group": Group}[kind]
    it = model.model_validate(resources[kind])
    try:
        PatchOp[model].model_validate({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]},
            scim_ctx=Context.RESOURCE_PATCH_REQUEST).patch(it)
        print(f"{name}, scim2-models:", f"active is {json.dumps(it.active)}" if kind == "User" else " ".join(one.value for one in it.members))
    except ValueError:
        print(f"{name}, scim2-models: refused")
PY
cat > Ask.java <<'JAVA'
import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.node.*;
import com.unboundid.scim2.common.*;
import com.unboundid.scim2.common.messages.PatchRequest;
import com.unboundid.scim2.common.utils.JsonUtils;
import java.io.File;
import java.util.*;

public class Ask {
    public static void main(String[] none) throws Exception {
        ObjectMapper mapper = JsonUtils.createObjectMapper();
        for (JsonNode ask : mapper.readTree(new File("asks.json"))) {
            var it = new GenericScimResource((ObjectNode) mapper.readTree(new File("resources.json")).get(ask.get(1).asText()));
            var request = mapper.createObjectNode();
            request.putArray("schemas").add("urn:ietf:params:scim:api:messages:2.0:PatchOp");
            request.putArray("Operations").add(ask.get(2));
            mapper.treeToValue(request, PatchRequest.class).apply(it);
            var after = it.getObjectNode();
            var members = new ArrayList<String>();
            if (after.has("members")) after.get("members").forEach(one -> members.add(one.get("value").asText()));
            System.out.println(ask.get(0).asText() + ", UnboundID: " + (after.has("members") ? String.join(" ", members) : "active is " + after.get("active")));
        }
    }
}
JAVA
seen=$(node ask.mjs; venv/bin/python ask.py; java -cp 'jars/*' Ask.java)
seen=$(sort -s -t , -k 1,1 <<<"$seen")
echo "scim-patch 0.8.3, scimmy 1.3.5, scim2-models 0.12.3, scim2-sdk-common 4.1.0"
echo "$seen"
[ "$seen" = 'Active: false, scim-patch: active is true
Active: false, scimmy: refused
Active: false, scim2-models: active is false
Active: false, UnboundID: active is false
active: "False", scim-patch: active is "False"
active: "False", scimmy: refused
active: "False", scim2-models: active is false
active: "False", UnboundID: active is "False"
active: false, scim-patch: active is false
active: false, scimmy: active is false
active: false, scim2-models: active is false
active: false, UnboundID: active is false
full name, scim-patch: active is false
full name, scimmy: refused
full name, scim2-models: active is false
full name, UnboundID: active is true
member by filter, scim-patch: a c
member by filter, scimmy: a c
member by filter, scim2-models: a c
member by filter, UnboundID: a c
member by value, scim-patch: a b c
member by value, scimmy: a c
member by value, scim2-models: refused
member by value, UnboundID: a c
member by value and $ref, scim-patch: a b c
member by value and $ref, scimmy: a b c
member by value and $ref, scim2-models: refused
member by value and $ref, UnboundID: a b' ] || changed "other changes are carried out"
echo "as described"
