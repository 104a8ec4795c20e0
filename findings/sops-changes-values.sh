#!/usr/bin/env bash
# Tool: sops 3.13.3 with an age key (made by pyrage 1.4.0), a YAML file.
# Expected: decrypting an encrypted file gives the values that were put in; every value is encrypted.
# Happens: values are read as YAML types first and written back from those: 0042 comes back as 34, 1.10 as 1.1, 1_000 as 1000, 0400 as 256,
#   a date as a date with a time of day and UTC, !!binary text as the bytes themselves without the tag. Quoted text is safe.
#   Empty texts, nulls, empty lists and maps are not encrypted at all: it can be seen which passwords are not set.
# Hurts: PINs, extension numbers and mail-box codes with leading zeros are others after the first encryption, and the exit code is 0;
#   no checksum tells, as it is taken of the changed values.
# Instead: quote every value before the first encryption (or encrypt the file as `--input-type binary`), and compare the decrypted file
#   with the source before the source is thrown away.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/getsops/sops/v3/cmd/sops@v3.13.3 2>go.log || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyrage==1.4.0
recipient=$(venv/bin/python -c '
from pyrage import x25519
key = x25519.Identity.generate()
open("key", "w").write(str(key) + "\n")
print(key.to_public())')
export SOPS_AGE_KEY_FILE="$work/key"
cat > before.yaml <<'YAML'
pin: 0042
quoted: "0042"
release: 1.10
limit: 1_000
mode: 0400
until: 2026-12-01
token: !!binary aGVsbG8=
unset: ""
nothing: null
YAML
bin/sops --disable-version-check --version
bin/sops encrypt --age "$recipient" before.yaml > encrypted.yaml
bin/sops decrypt encrypted.yaml > after.yaml
after=$(paste -d '|' before.yaml after.yaml | sed 's/|/   ->   /')
echo "$after"
clear=$(sed '/^sops:/,$d' encrypted.yaml | grep -v 'ENC\[')
echo "not encrypted:"
echo "$clear"
[ "$after" = 'pin: 0042   ->   pin: 34
quoted: "0042"   ->   quoted: "0042"
release: 1.10   ->   release: 1.1
limit: 1_000   ->   limit: 1000
mode: 0400   ->   mode: 256
until: 2026-12-01   ->   until: 2026-12-01T00:00:00Z
token: !!binary aGVsbG8=   ->   token: hello
unset: ""   ->   unset: ""
nothing: null   ->   nothing: null' ] || changed "other values come back"
[ "$clear" = 'unset: ""
nothing: null' ] || changed "other values stay in clear"
echo "as described"
