#!/usr/bin/env bash
# Tools: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), its concat demuxer (`-f concat`), soundfile 0.14.0 as maker and reader.
# Expected: joining the segments of a call that differ in rate, channels or codec is an error with `-c copy`, and is converted without it.
# Happens: with and without `-c copy` every segment is read as if it had the form of the first. After a first segment at 8 kHz one at
#   16 kHz takes twice its time, an octave too low; one in stereo too; an A-law segment after a mu-law one is distorted at full level.
#   Exit code 0, no warning. The concat FILTER, with each segment as an input of its own, converts them.
# Hurts: a call that was transferred, or paused for a card number and resumed, has segments of different forms; the joined archive
#   copy is too long or unintelligible, its times no longer fit, and the segments are deleted as the join "succeeded".
# Instead: join with -filter_complex concat=n=2:v=0:a=1; compare the length of the result with the sum of the segments before they
#   are deleted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
cat > join.py <<'PY'
import subprocess
import imageio_ffmpeg, numpy, soundfile

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def segment(path, rate=8000, channels=1, codec="PCM_16"):
    """Five seconds of a tone of 440 Hz at 0.3 of full level."""
    tone = 0.3 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(rate * 5) / rate)
    soundfile.write(path, numpy.stack([tone] * channels, 1), rate, subtype=codec)

def join(label, *options):
    done = subprocess.run([ffmpeg, "-y", "-v", "error", *options, "joined.wav"], capture_output=True, text=True)
    if done.returncode or done.stderr:
        print(f"{label}: refused")
        return
    samples, rate = soundfile.read("joined.wav", always_2d=True)
    second = samples[-rate * 4:, 0]
    pitch = numpy.count_nonzero(numpy.diff(numpy.signbit(second))) / 2 / 4
    print(f"{label}: {len(samples) / rate:.0f} s, second segment at {'its' if 438 < pitch < 442 else 'another'} pitch, level {abs(second).max():.1f}")

with open("list", "w") as file:
    file.write("file 'first.wav'\nfile 'second.wav'\n")
segment("first.wav")
for label, form in (("16 kHz", {"rate": 16000}), ("stereo", {"channels": 2}), ("mu-law, A-law", {"codec": "ALAW"})):
    if "codec" in form:
        segment("first.wav", codec="ULAW")
    segment("second.wav", **form)
    join(f"{label}, -c copy", "-f", "concat", "-i", "list", "-c", "copy")
    join(f"{label}, encoded", "-f", "concat", "-i", "list")
    join(f"{label}, concat filter", "-i", "first.wav", "-i", "second.wav", "-filter_complex", "concat=n=2:v=0:a=1")
PY
seen=$(venv/bin/python join.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "16 kHz, -c copy: 15 s, second segment at another pitch, level 0.3
16 kHz, encoded: 15 s, second segment at another pitch, level 0.3
16 kHz, concat filter: 10 s, second segment at its pitch, level 0.3
stereo, -c copy: 15 s, second segment at another pitch, level 0.3
stereo, encoded: 15 s, second segment at another pitch, level 0.3
stereo, concat filter: 10 s, second segment at its pitch, level 0.3
mu-law, A-law, -c copy: 10 s, second segment at its pitch, level 1.0
mu-law, A-law, encoded: 10 s, second segment at its pitch, level 1.0
mu-law, A-law, concat filter: 10 s, second segment at its pitch, level 0.3" ] || changed "other segments than described"
echo "as described"
