#!/usr/bin/env bash
# Tool: smpplib 2.2.4 (Python, SMPP), beside split-sms 0.1.7 and sms-segments-calculator 1.3.0 (Node.js).
# Expected: a long text is cut into parts between characters. A euro sign (and [ ] { } \ ^ ~ |) takes two septets in GSM 03.38, an
#   escape and a letter, and GSM 03.38 says that the two stay in one part; the last septet of a full part then stays empty.
# Happens: smpplib cuts after exactly 153 septets. A euro sign at that place is torn: the first part ends with a lone escape, the
#   second begins with a plain "e". In UCS-2 it tears a surrogate pair the same way. It also counts one part less than the two others.
# Hurts: the amount or the bracket at the cut arrives as a space and a letter; what was billed, shown to the agent and kept in the
#   archive do not agree, and a redaction rule that looks for the whole text does not match either.
# Instead: cut the text yourself at character limits (152 septets where the next character needs two), then encode each part.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check smpplib==2.2.4
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund split-sms@0.1.7 sms-segments-calculator@1.3.0

cat > parts.py <<'PY'
from importlib.metadata import version
import smpplib.gsm
print("smpplib", version("smpplib"))
text = "a" * 152 + "€" + "b" * 152
parts, coding, _ = smpplib.gsm.make_parts(text)
bodies = [part[6:] for part in parts]
print("GSM 03.38:", len(parts), "parts; part 1 ends with", bodies[0][-2:].hex(), "and part 2 begins with", bodies[1][:2].hex())
text = "я" * 66 + "\U0001D11E" + "я" * 66
bodies = [part[6:] for part in smpplib.gsm.make_parts(text)[0]]
print("UCS-2:", len(bodies), "parts; part 1 ends with", bodies[0][-2:].hex(), "and part 2 begins with", bodies[1][:2].hex())
PY
cat > parts.mjs <<'JS'
import split from 'split-sms';
import calculator from 'sms-segments-calculator';
const text = 'a'.repeat(152) + '€' + 'b'.repeat(152);
console.log('split-sms:', split.split(text).parts.length, 'parts');
console.log('sms-segments-calculator:', new calculator.SegmentedMessage(text, 'auto').segmentsCount, 'parts');
JS
seen=$(venv/bin/python parts.py; node parts.mjs)
echo "$seen"
[ "$seen" = "smpplib 2.2.4
GSM 03.38: 2 parts; part 1 ends with 611b and part 2 begins with 6562
UCS-2: 2 parts; part 1 ends with d834 and part 2 begins with dd1e
split-sms: 3 parts
sms-segments-calculator: 3 parts" ] || changed "the parts differ from the ones described"
echo "as described"
