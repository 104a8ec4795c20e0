#!/usr/bin/env bash
# Tools: samply's golang-fhir-models 0.3.2 and fastenhealth's gofhir-models 0.0.7 (Go), beside fhir.resources 8.3.0 (Python): a patient resource read and written
#   out again, in which a birth date, a given name and a telephone number were withheld: no value, and in FHIR's field beside it
#   (`_birthDate`, `_given`, `_value`) the reason "masked".
# Expected: what was read is written; a part that the library does not know is refused.
# Happens: with both Go modules everything in such fields is gone without an error: that there is a birth date, a number, a second given name, and that
#   somebody withheld them. The withheld given name, null in JSON, becomes an empty name, which FHIR does not allow. The Python library keeps all.
# Hurts: behind a proxy in Go a withheld birth date is one that nobody knows: it is asked for again, filled in from another record, or overwritten in the
#   source by an update that has no birthDate; translations, hidden street parts and Dutch name parts, which live in such fields, are lost as well.
# Instead: pass resources on as bytes and change only what has to be changed (a JSON patch); refuse to PUT what went through these types; compare all
#   keys that begin with `_` before and after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fhir.resources==8.3.0 fhir-core==1.1.12
cat > make.py <<'PY'
import json
masked = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}
json.dump({"resourceType": "Patient", "id": "1", "active": True, "name": [{"family": "Muster", "given": ["Erika", None], "_given": [None, masked]}],
    "telecom": [{"system": "phone", "_value": masked}], "_birthDate": masked}, open("patient.json", "w"))
PY
cat > count.py <<'PY'
import json, sys
text = sys.stdin.read()
it = json.loads(text)
print(f"{sys.argv[1]}: masked {text.count('masked')} of 3, given names {json.dumps(it['name'][0]['given'])}, telephone {sorted(it['telecom'][0])}, birth date {sorted(key for key in it if 'birth' in key.lower())}")
PY
cat > again.py <<'PY'
from fhir.resources.R4B.patient import Patient
print(Patient.model_validate_json(open("patient.json").read()).model_dump_json())
PY
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	fasten "github.com/fastenhealth/gofhir-models/fhir401"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

func main() {
	text, err := os.ReadFile("patient.json")
	if err != nil {
		panic(err)
	}
	var patient any
	if os.Args[1] == "samply" {
		patient, err = fhir.UnmarshalPatient(text)
	} else {
		patient, err = fasten.UnmarshalPatient(text)
	}
	if err != nil {
		panic(err)
	}
	out, err := json.Marshal(patient)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(out))
}
GO
(cd go && go mod init again && go get github.com/samply/golang-fhir-models/fhir-models@v0.3.2 github.com/fastenhealth/gofhir-models@v0.0.7 && go build -o ../again .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
venv/bin/python make.py
echo "golang-fhir-models 0.3.2, gofhir-models 0.0.7, fhir.resources 8.3.0"
seen=$(for module in samply fastenhealth; do ./again "$module" | python3 count.py "$module"; done; venv/bin/python again.py | python3 count.py fhir.resources)
echo "$seen"
[ "$seen" = 'samply: masked 0 of 3, given names ["Erika", ""], telephone ['"'system'"'], birth date []
fastenhealth: masked 0 of 3, given names ["Erika", ""], telephone ['"'system'"'], birth date []
fhir.resources: masked 3 of 3, given names ["Erika", null], telephone ['"'_value', 'system'"'], birth date ['"'_birthDate'"']' ] || changed "other parts are kept"
echo "as described"
