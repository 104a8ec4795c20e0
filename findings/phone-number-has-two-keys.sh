#!/usr/bin/env bash
# Tools: phonenumbers 9.0.43 (Python), google-libphonenumber 3.2.47, libphonenumber-js 1.13.16, phone 3.1.72 (Node.js): the international form of
#   a number (E.164) as the key under which a person's calls, messages and consents are found.
# Expected: one line has one key, and two lines have two; an old form of a number, as it stands in the records of last year, is turned into
#   the new one or refused.
# Happens: it is written back as it came. Argentine mobiles have two forms (calls with a 9, messages without), both valid, each its own
#   key. Benin's and Ivory Coast's numbers before they got two digits more, Mexico's with a 1 and Brazil's without the ninth digit are
#   "invalid" and still get a key, another one. is_number_match says "short match" for these, as for many strangers', and "no match"
#   for Brazil. The extension, which tells ten people of one line apart, is not in the key. phone (which takes mobiles only, if not told
#   otherwise) gives both Argentine forms one key, and Benin's numbers a key in the old form and none in the one in use since 2024.
# Hurts: an erasure, a request for access or "do not record me" by number finds the calls of one form and leaves those of the other; a
#   caller from Cotonou has no key, so that nothing is found or kept for them; at a switchboard one person's wish binds all.
# Instead: keep the number as it came beside the key; make the key by a table of your own for these countries (older form to newer) and put the
#   extension in; look up a person under all forms, and count the calls that have no key.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check phonenumbers==9.0.43
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund google-libphonenumber@3.2.47 libphonenumber-js@1.13.16 phone@3.1.72
cat > keys.mjs <<'JS'
import google from 'google-libphonenumber';
import { parsePhoneNumberFromString } from 'libphonenumber-js/max';
import { phone } from 'phone';
const util = google.PhoneNumberUtil.getInstance();
for (const text of process.argv.slice(2)) {
  const first = util.parse(text);
  const second = parsePhoneNumberFromString(text);
  console.log([util.format(first, google.PhoneNumberFormat.E164), util.isValidNumber(first), second.number, second.isValid(), phone(text).phoneNumber].join(' '));
}
JS
cat > keys.py <<'PY'
import subprocess
import phonenumbers
from phonenumbers import MatchType, PhoneNumberFormat

match = {value: name.lower() for name, value in vars(MatchType).items() if isinstance(value, int)}

def keys(text):
    number = phonenumbers.parse(text)
    key, valid = phonenumbers.format_number(number, PhoneNumberFormat.E164), phonenumbers.is_valid_number(number)
    google, google_valid, js, js_valid, phone = subprocess.run(["node", "keys.mjs", text], check=True, capture_output=True, text=True).stdout.rstrip("\n").split(" ")
    assert key == google == js and google_valid == js_valid == str(valid).lower()
    return number, f"{key} ({'valid' if valid else 'invalid'}; phone {phone or 'none'})"

for label, one, other in (
    ("Argentina, mobile", "+5491123456789", "+541123456789"),
    ("Benin, until 2024 and since", "+22997123456", "+2290197123456"),
    ("Ivory Coast, until 2021 and since", "+22507123456", "+2250707123456"),
    ("Mexico, until 2019 and since", "+5215512345678", "+525512345678"),
    ("Brazil, mobile, until 2016 and since", "+551187654321", "+5511987654321"),
    ("two of one switchboard", "+4930123456 ext. 12", "+4930123456 ext. 13"),
):
    first, second = keys(one), keys(other)
    print(f"{label}: {first[1]}, {second[1]}: {match[phonenumbers.is_number_match(first[0], second[0])]}")
PY
venv/bin/python -c 'import phonenumbers; print("phonenumbers", phonenumbers.__version__)'
seen=$(venv/bin/python keys.py)
echo "$seen"
[ "$seen" = "Argentina, mobile: +5491123456789 (valid; phone +541123456789), +541123456789 (valid; phone +541123456789): short_nsn_match
Benin, until 2024 and since: +22997123456 (invalid; phone +22997123456), +2290197123456 (valid; phone none): short_nsn_match
Ivory Coast, until 2021 and since: +22507123456 (invalid; phone none), +2250707123456 (valid; phone +2250707123456): short_nsn_match
Mexico, until 2019 and since: +5215512345678 (invalid; phone +5215512345678), +525512345678 (valid; phone +525512345678): short_nsn_match
Brazil, mobile, until 2016 and since: +551187654321 (invalid; phone none), +5511987654321 (valid; phone +5511987654321): no_match
two of one switchboard: +4930123456 (valid; phone none), +4930123456 (valid; phone none): no_match" ] || changed "numbers have other keys"
echo "as described"
