#!/usr/bin/env bash
# Tools: @ldapjs/filter 2.1.1 (Node.js, the filters of ldapjs servers), ldap-filter 1.0.1 and ldap3 2.9.1 with its mock of a server (Python), UnboundID LDAP SDK
#   7.0.3 (Java, with its schema): whether an entry matches a filter, as proxies of directories, provisioning and tests decide it.
# Expected: names of attributes have no case; a name of a group (DN) is equal whatever its case and the blanks after its commas; telephone numbers are
#   compared without blanks; a filter with an attribute that nobody has matches nothing, negated neither (RFC 4511, 4517).
# Happens: @ldapjs/filter compares letter by letter, names of attributes too; ldap-filter and ldap3's mock know no DN. So with another spelling the filter for
#   members says no and its negation says yes. Only UnboundID compares by the schema, and for `memberOf`, which its schema lacks, not either.
#   Negations of unknown attributes match everybody, in all but ldap3's mock.
# Hurts: "all but those on the list of people who must not listen" lets in everybody on that list, once the directory writes `CN=` where the filter has `cn=`
#   or a blank after a comma; tests against the mock pass or fail otherwise than the directory.
# Instead: let the directory itself decide, by one search for the person with the filter; bring DNs into one form (case, blanks) on both sides before comparing; write
#   rules as what lets in, never as a negation.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ldap-filter==1.0.1 ldap3==2.9.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @ldapjs/filter@2.1.1 2>/dev/null
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies><dependency><groupId>com.unboundid</groupId><artifactId>unboundid-ldapsdk</artifactId><version>7.0.3</version></dependency></dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > filters <<'TEXT'
(manager=CN=Lead,OU=Team,DC=Clinic,DC=example)
(MANAGER=CN=Lead,OU=Team,DC=Clinic,DC=example)
(manager=cn=lead,ou=team,dc=clinic,dc=example)
(manager=CN=Lead, OU=Team, DC=Clinic, DC=example)
(!(manager=CN=Lead, OU=Team, DC=Clinic, DC=example))
(memberOf=CN=No Listening, OU=Groups, DC=Clinic, DC=example)
(!(memberOf=CN=No Listening, OU=Groups, DC=Clinic, DC=example))
(telephoneNumber=+4930123456)
(!(unknownAttribute=1))
TEXT
cat > entry.json <<'JSON'
{"objectClass": ["inetOrgPerson"], "cn": ["Agent"], "sn": ["Agent"], "manager": ["CN=Lead,OU=Team,DC=Clinic,DC=example"],
 "memberOf": ["CN=No Listening,OU=Groups,DC=Clinic,DC=example"], "telephoneNumber": ["+49 30 123456"]}
JSON
cat > match.cjs <<'JS'
const { readFileSync } = require('node:fs');
const { parseString } = require('@ldapjs/filter');
const entry = JSON.parse(readFileSync('entry.json', 'utf8'));
for (const line of readFileSync('filters', 'utf8').trim().split('\n')) console.log(parseString(line).matches(entry) ? 'yes' : 'no');
JS
cat > match.py <<'PY'
import json, sys
from ldap_filter import Filter
from ldap3 import Connection, MOCK_SYNC, OFFLINE_AD_2012_R2, Server
entry = json.load(open("entry.json"))
connection = Connection(Server("mock", get_info=OFFLINE_AD_2012_R2), user="cn=admin,dc=example", password="example", client_strategy=MOCK_SYNC)
connection.strategy.add_entry("cn=admin,dc=example", {"userPassword": "example", "sn": "admin"})
connection.strategy.add_entry("cn=agent,dc=example", entry)
connection.bind()
def mock(line):
    try:
        connection.search("dc=example", line)
    except Exception:
        return "refused"
    return "yes" if any(one.entry_dn == "cn=agent,dc=example" for one in connection.entries) else "no"
for line in open("filters").read().splitlines():
    print(("yes" if Filter.parse(line).match(entry) else "no") if sys.argv[1] == "ldap-filter" else mock(line))
PY
cat > Match.java <<'JAVA'
import com.unboundid.ldap.sdk.*;
import com.unboundid.ldap.sdk.schema.Schema;
import java.nio.file.*;

public class Match {
    public static void main(String[] none) throws Exception {
        var entry = new Entry("dn: cn=agent,dc=example", "objectClass: inetOrgPerson", "cn: Agent", "sn: Agent", "manager: CN=Lead,OU=Team,DC=Clinic,DC=example",
            "memberOf: CN=No Listening,OU=Groups,DC=Clinic,DC=example", "telephoneNumber: +49 30 123456");
        for (String line : Files.readAllLines(Path.of("filters")))
            System.out.println(Filter.create(line).matchesEntry(entry, Schema.getDefaultStandardSchema()) ? "yes" : "no");
    }
}
JAVA
node match.cjs >ldapjs
venv/bin/python match.py ldap-filter >python
venv/bin/python match.py ldap3 >mock
java -cp 'jars/*' Match.java >java
echo "@ldapjs/filter 2.1.1, ldap-filter 1.0.1, ldap3 2.9.1, unboundid-ldapsdk 7.0.3"
seen=$(paste -d ' ' ldapjs python mock java filters)
echo "$seen"
[ "$seen" = "yes yes yes yes (manager=CN=Lead,OU=Team,DC=Clinic,DC=example)
no no yes yes (MANAGER=CN=Lead,OU=Team,DC=Clinic,DC=example)
no yes yes yes (manager=cn=lead,ou=team,dc=clinic,dc=example)
no no no yes (manager=CN=Lead, OU=Team, DC=Clinic, DC=example)
yes yes yes no (!(manager=CN=Lead, OU=Team, DC=Clinic, DC=example))
no no no no (memberOf=CN=No Listening, OU=Groups, DC=Clinic, DC=example)
yes yes yes yes (!(memberOf=CN=No Listening, OU=Groups, DC=Clinic, DC=example))
no no no yes (telephoneNumber=+4930123456)
yes yes refused yes (!(unknownAttribute=1))" ] || changed "other entries match"
echo "as described"
