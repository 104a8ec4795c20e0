#!/usr/bin/env bash
# Tool: vcon 0.10.0 (Python; it asks for Python 3.12 and runs with 3.11), the library of the IETF's format for conversations: sign() and what is
#   redacted or removed afterwards.
# Expected: a signed conversation is one text with a signature; when a line of it is removed and the file written again, the line is gone
#   (and the signature with it, or it no longer fits).
# Happens: sign() adds a second copy of everything, as base64 in `payload`, beside the readable one. Removing dialog, attachment or party
#   touches the readable copy only; the file keeps the other. Signing anew wraps a copy that holds the first copy inside, base64 in base64,
#   and the file grows at each time; reading with property_handling="strict" drops neither. is_valid() finds no fault.
# Hurts: a transcript redacted for a request for access, or erased, goes out in full to whoever decodes one field; a search for the words
#   through the files finds nothing, as they are encoded, twice after the second signature.
# Instead: redact the unsigned original and sign the result; before a change delete `signatures` and `payload`; test by decoding every base64 field
#   of what is written, again and again, and searching there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --ignore-requires-python vcon==0.10.0 authlib==1.9.10
cat > sign.py <<'PY'
import base64, json, logging
from importlib.metadata import version
logging.disable(logging.CRITICAL)
from vcon import Vcon
from vcon.dialog import Dialog
from vcon.party import Party

def tell(label, text):
    depth, found = 0, []
    while True:
        if "diabetes" in text:
            found.append(("in clear", "in base64", "in base64 of base64")[depth])
        payload = json.loads(text).get("payload")
        if not payload:
            break
        depth, text = depth + 1, base64.urlsafe_b64decode(payload + "==").decode()
    print(f"{label}: {', '.join(found) or 'nowhere'}")

call = Vcon.build_new()
call.add_party(Party(name="Caller"))
for n, words in enumerate(("Good morning.", "I have diabetes.", "Thank you.")):
    call.add_dialog(Dialog(type="text", start=f"2026-11-28T10:00:0{n}Z", parties=[0], mediatype="text/plain", body=words, encoding="none"))
key, _ = Vcon.generate_key_pair()
print("vcon", version("vcon"))
tell("made", call.to_json())
call.sign(key)
tell("signed", call.to_json())
del call.vcon_dict["dialog"][1]
call.save_to_file("call.json")
tell("line removed, written", open("call.json").read())
again = Vcon.load_from_file("call.json")
print("dialog of the file:", [line["body"] for line in again.dialog], "valid:", again.is_valid()[0])
again.sign(key)
tell("signed again", again.to_json())
tell("read as strict", Vcon.build_from_json(again.to_json(), property_handling="strict").to_json())
for name in ("signatures", "payload"):
    del again.vcon_dict[name]
again.sign(key)
tell("signature deleted, then signed", again.to_json())
PY
seen=$(venv/bin/python -W ignore sign.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "vcon 0.10.0
made: in clear
signed: in clear, in base64
line removed, written: in base64
dialog of the file: ['Good morning.', 'Thank you.'] valid: True
signed again: in base64 of base64
read as strict: in base64 of base64
signature deleted, then signed: nowhere" ] || changed "removed words are elsewhere"
echo "as described"
