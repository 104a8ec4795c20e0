#!/usr/bin/env bash
# Tool: presidio-anonymizer 2.2.366 (Python), which takes out of a transcript what recognizers found.
# Expected: what is found as a person is replaced wherever it stands, also inside of something that may be kept; masking twelve characters
#   of a card number leaves its last four digits; a hashed name is the same pseudonym in every call.
# Happens: - A finding that lies inside of a longer one is dropped before the operators run: with the operator "keep" for addresses a
#     name inside of an address stays in clear, though the operator for persons is "replace".
#   - "mask" counts characters, not digits: of a card number as people write it, in groups, twelve leave six digits.
#   - "hash" takes a new random salt each time: one name gives another pseudonym in every call (unless a salt is handed in).
# Hurts: names pass into an archive that counts as anonymous, more of a card number stays than card rules allow, and calls of one
#   caller cannot be joined, or erased, by the pseudonym.
# Instead: keep nothing by operator (leave such kinds out of the findings before); write card numbers without gaps before masking; hand in a salt
#   from a secret store.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check presidio-anonymizer==2.2.366
cat > redact.py <<'PY'
from importlib.metadata import version
from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.entities import OperatorConfig, RecognizerResult

engine = AnonymizerEngine()
print("presidio-anonymizer", version("presidio-anonymizer"))

def redact(text, found, **operators):
    results = [RecognizerResult(kind, text.index(part), text.index(part) + len(part), score) for kind, part, score in found]
    return engine.anonymize(text=text, analyzer_results=results, operators={kind: OperatorConfig(*how) for kind, how in operators.items()}).text

text = "I live at Jane Example Street 5"
found = [("PERSON", "Jane Example", 0.9), ("ADDRESS", "Jane Example Street 5", 0.6)]
print("persons replaced:", redact(text, found[:1], PERSON=("replace", {})))
print("persons replaced, addresses kept:", redact(text, found, PERSON=("replace", {}), ADDRESS=("keep", {})))
mask = ("mask", {"masking_char": "*", "chars_to_mask": 12, "from_end": False})
for card in ("4000001234560000", "4000 0012 3456 0000"):
    print("card, 12 characters masked:", redact(card, [("CARD", card, 1.0)], CARD=mask))
hashed = {redact("Jane Example", found[:1], PERSON=("hash", {})) for _ in range(3)}
print("pseudonyms of one name in three calls:", len(hashed))
PY
seen=$(venv/bin/python redact.py)
echo "$seen"
[ "$seen" = "presidio-anonymizer 2.2.366
persons replaced: I live at <PERSON> Street 5
persons replaced, addresses kept: I live at Jane Example Street 5
card, 12 characters masked: ************0000
card, 12 characters masked: ************56 0000
pseudonyms of one name in three calls: 3" ] || changed "other parts are left"
echo "as described"
