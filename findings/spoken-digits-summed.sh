#!/usr/bin/env bash
# Tools: word2number 1.1, numerizer 0.2.4, text2num 3.1.0, number-parser 0.3.2 (Python), words-to-numbers 1.5.1 (Node.js), English transcripts.
# Expected: digits read out one by one stay one by one ("four one one one" is 4 1 1 1); "double five" is 5 5 and "oh" is 0, as people
#   read out card and phone numbers; what a library does not know is an error.
# Happens: word2number adds up or drops: "four one one one" is 6, "nineteen eighty" 99. numerizer joins: "one hundred twenty three four five
#   six" is 138. text2num writes "zero two zero five" as 02 05. The others keep digits apart. None of the five reads
#   "double" or "oh": they stay as words between the digits, or (word2number) are dropped. No errors.
# Hurts: a card number that a caller reads out is rewritten before the redaction rule looks for sixteen digits, and fits no rule; the
#   number that is stored for the call-back is another one.
# Instead: replace words by digits one for one (with double, triple, oh) before any such library, apply the redaction rule to that, and
#   mute by the times of the words.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check word2number==1.1 numerizer==0.2.4 text2num==3.1.0 number-parser==0.3.2
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund words-to-numbers@1.5.1
cat > spoken <<'TEXT'
four one one one
nineteen eighty
zero two zero five
one hundred twenty three four five six
four double one three
oh two oh five
TEXT
cat > read.py <<'PY'
import sys
import number_parser
from numerizer import numerize
from text_to_num import alpha2digit
from word2number import w2n
way = {"word2number": w2n.word_to_num, "numerizer": numerize, "text2num": lambda text: alpha2digit(text, "en"), "number-parser": number_parser.parse}[sys.argv[1]]
for text in sys.stdin.read().splitlines():
    print(way(text))
PY
cat > read.cjs <<'JS'
const { default: read } = require('words-to-numbers');
for (const text of require('fs').readFileSync(0, 'utf8').trim().split('\n')) console.log(String(read(text)));
JS
seen=$(
    for library in word2number numerizer text2num number-parser; do
        echo "$library: $(venv/bin/python read.py "$library" <spoken | paste -sd '|' | sed 's/|/ | /g')"
    done
    echo "words-to-numbers: $(node read.cjs <spoken | paste -sd '|' | sed 's/|/ | /g')"
)
echo "spoken: $(paste -sd '|' spoken | sed 's/|/ | /g')"
echo "$seen"
[ "$seen" = "word2number: 6 | 99 | 5 | 1 | 7 | 7
numerizer: 4 1 1 1 | 19 80 | 0 2 0 5 | 138 | 4 double 1 3 | oh 2 oh 5
text2num: 4 1 1 1 | 19 80 | 02 05 | 123 4 5 6 | 4 double 1 3 | oh two oh 5
number-parser: 4 1 1 1 | 19 80 | 0 2 0 5 | 123 4 5 6 | 4 double 1 3 | oh 2 oh 5
words-to-numbers: 4 1 1 1 | 19 80 | 0 2 0 5 | 123 4 5 6 | 4 double 1 3 | oh 2 oh 5" ] || changed "other numbers are read"
echo "as described"
