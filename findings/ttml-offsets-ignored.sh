#!/usr/bin/env bash
# Tools: pycaption 2.3.14, pysubs2 1.8.1, ttconv 1.2.3 (Python), which read transcripts in TTML, the W3C's format of timed text.
# Expected: times in TTML count from the begin of the element around them: a line at 1 s in a division that begins at 60 s is spoken
#   at 61 s. That is how parts of a call are put together, each with its own offset. The three agree on it.
# Happens: pycaption ignores the offset: the line is at 1 s. pysubs2 adds it. ttconv, with an end given for the line alone, writes an empty
#   file and ends with success; it writes the line at 61 s if the division has an end, too. For words timed inside of a line, which
#   count from the line, pycaption and pysubs2 give the line's own times to all of them. No error or warning in any.
# Hurts: times from the transcript by which audio is cut or muted hit the first minute of the call instead of the second, and the
#   words stay audible; a transcript converted for the archive is empty and nobody is told.
# Instead: write times from the begin of the recording at the lines themselves, without offsets around them (and without timed parts in them); after
#   reading compare count and last time of the lines with what was written.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pycaption==2.3.14 pysubs2==1.8.1 ttconv==1.2.3
cat > read.py <<'PY'
import os, subprocess, sys
from importlib.metadata import version
import pycaption, pysubs2

def by_pycaption(text):
    captions = pycaption.DFXPReader().read(text)
    return [(line.start / 1e6, line.end / 1e6) for line in captions.get_captions("en")]

def by_pysubs2(text):
    return [(line.start / 1e3, line.end / 1e3) for line in pysubs2.SSAFile.from_string(text, format_="ttml")]

def by_ttconv(text):
    with open("in.ttml", "w") as file:
        file.write(text)
    if os.path.exists("out.srt"):
        os.remove("out.srt")
    subprocess.run([os.path.join(os.path.dirname(sys.executable), "tt"), "convert", "-i", "in.ttml", "-o", "out.srt"], check=True, capture_output=True)
    return [(line.start / 1e3, line.end / 1e3) for line in pysubs2.load("out.srt")] if os.path.getsize("out.srt") else "an empty file"

print(*(f"{name} {version(name)}" for name in ("pycaption", "pysubs2", "ttconv")))
for label, body in {
    "line": '<body><div><p begin="61s" end="63s">diabetes</p></div></body>',
    "division from 60 s": '<body><div begin="60s"><p begin="1s" end="3s">diabetes</p></div></body>',
    "division from 60 s to 90 s": '<body><div begin="60s" end="90s"><p begin="1s" end="3s">diabetes</p></div></body>',
    "body from 60 s": '<body begin="60s"><div><p begin="1s" end="3s">diabetes</p></div></body>',
    "word in a line from 60 s to 70 s": '<body><div><p begin="60s" end="70s"><span begin="1s" end="3s">diabetes</span></p></div></body>',
}.items():
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<tt xmlns="http://www.w3.org/ns/ttml" xml:lang="en"><head/>{body}</tt>'
    print(f"{label}: pycaption {by_pycaption(text)}, pysubs2 {by_pysubs2(text)}, ttconv {by_ttconv(text)}")
PY
seen=$(venv/bin/python -W ignore read.py)
echo "$seen"
[ "$seen" = "pycaption 2.3.14 pysubs2 1.8.1 ttconv 1.2.3
line: pycaption [(61.0, 63.0)], pysubs2 [(61.0, 63.0)], ttconv [(61.0, 63.0)]
division from 60 s: pycaption [(1.0, 3.0)], pysubs2 [(61.0, 63.0)], ttconv an empty file
division from 60 s to 90 s: pycaption [(1.0, 3.0)], pysubs2 [(61.0, 63.0)], ttconv [(61.0, 63.0)]
body from 60 s: pycaption [(1.0, 3.0)], pysubs2 [(61.0, 63.0)], ttconv an empty file
word in a line from 60 s to 70 s: pycaption [(60.0, 70.0)], pysubs2 [(60.0, 70.0)], ttconv [(61.0, 63.0)]" ] || changed "times are read otherwise"
echo "as described"
