#!/usr/bin/env bash
# Tools: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), pysubs2 1.8.1, webvtt-py 0.6.0, pycaption 2.3.14 (Python), subsrt-ts 2.1.2 (Node.js), which
#   convert transcripts between WebVTT and SRT; presidio-anonymizer 2.2.366 as the writer of what is redacted.
# Expected: a converted transcript still tells who spoke, and where something was redacted.
# Happens: in WebVTT the speaker stands in a voice tag, <v Agent>. To SRT all but pycaption drop it with its name: the lines of both
#   sides follow each other without any. Presidio's marks are <PERSON> and the like, which look like tags: from SRT to WebVTT FFmpeg, pysubs2
#   and subsrt-ts drop them, and webvtt-py writes them as tags, which a player does not show. "My name is <PERSON>." becomes "My name is ."
#   No warning in any; exit status 0.
# Hurts: a transcript given out on request, or to a court, does not tell the agent's words from the caller's; what was redacted
#   looks as if nothing had been said, so that nobody asks for it, and a count of redactions in the delivered file is zero.
# Instead: write the speaker into the text ("Agent: …") and take marks without angle brackets ("[PERSON]", an operator of Presidio's); compare
#   speakers and marks of a converted file with those of the original.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 pysubs2==1.8.1 webvtt-py==0.6.0 pycaption==2.3.14 srt==3.5.3 presidio-anonymizer==2.2.366
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund subsrt-ts@2.1.2
cat > convert.mjs <<'JS'
import { readFileSync } from 'node:fs';
import subsrt from 'subsrt-ts';
process.stdout.write((subsrt.default ?? subsrt).convert(readFileSync(process.argv[2], 'utf8'), { format: process.argv[3] }));
JS
cat > convert.py <<'PY'
import datetime, subprocess
import imageio_ffmpeg, pycaption, pysubs2, srt, webvtt
from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.entities import RecognizerResult

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

def by_webvtt(path, to):
    if to == "srt":
        webvtt.read(path).save_as_srt("out.srt")
    else:
        webvtt.from_srt(path).save("out.vtt")
    with open("out." + to) as file:
        return file.read()

def by_pycaption(path, to):
    with open(path) as file:
        text = file.read()
    read, write = (pycaption.WebVTTReader, pycaption.SRTWriter) if to == "srt" else (pycaption.SRTReader, pycaption.WebVTTWriter)
    return write().write(read().read(text))

tools = {
    "FFmpeg": lambda path, to: output(ffmpeg, "-v", "warning", "-i", path, "-f", {"vtt": "webvtt"}.get(to, to), "-"),
    "pysubs2": lambda path, to: pysubs2.load(path).to_string(to),
    "webvtt-py": by_webvtt,
    "subsrt-ts": lambda path, to: output("node", "convert.mjs", path, to),
    "pycaption": by_pycaption,
}
with open("call.vtt", "w") as file:
    file.write("WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n<v Agent>What is your name?\n\n00:00:03.000 --> 00:00:05.000\n<v Caller>I will not tell.\n")
words = "My name is Erika Muster."
redacted = AnonymizerEngine().anonymize(words, [RecognizerResult("PERSON", words.index("Erika"), len(words) - 1, 1.0)]).text
print("redacted:", redacted)
with open("call.srt", "w") as file:
    file.write(srt.compose([srt.Subtitle(1, datetime.timedelta(seconds=1), datetime.timedelta(seconds=3), redacted)]))

def lines(text):
    return " / ".join(line for line in text.splitlines() if line.strip() and "-->" not in line and line != "WEBVTT" and not line.isdigit())

for name, convert in tools.items():
    print(f"{name}: to SRT {lines(convert('call.vtt', 'srt'))!r}, to WebVTT {lines(convert('call.srt', 'vtt'))!r}")
PY
seen=$(venv/bin/python convert.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "redacted: My name is <PERSON>.
FFmpeg: to SRT 'What is your name? / I will not tell.', to WebVTT 'My name is .'
pysubs2: to SRT 'What is your name? / I will not tell.', to WebVTT 'My name is .'
webvtt-py: to SRT 'What is your name? / I will not tell.', to WebVTT 'My name is <PERSON>.'
subsrt-ts: to SRT 'What is your name? / I will not tell.', to WebVTT 'My name is .'
pycaption: to SRT 'Agent: What is your name? / Caller: I will not tell.', to WebVTT 'My name is &lt;PERSON>.'" ] || changed "other things are lost"
echo "as described"
