#!/usr/bin/env bash
# Tools: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), MediaInfo (pymediainfo 7.0.1), soundfile 0.14.0, PyAV 18.1.0 as the recorder.
# Expected: a call of ten seconds with a hold of four (no packets from 3 s to 7 s) is ten seconds long after its export to WAV too.
# Happens: Matroska, Ogg and MP4 keep the times: MediaInfo and the container say ten seconds. The export by FFmpeg closes the gap:
#   six seconds, no warning, exit code 0. What was said at 7 s is at 3 s. (soundfile says ten seconds of the Ogg file, and reads six.)
# Hurts: a list of times made from the call (card number from 7 s to 8 s, consent given at 9 s) does not fit the exported file: applied to
#   it, the redaction silences nothing or something else, and the number stays audible.
# Instead: redact before the export in the same FFmpeg call (its filters see the true times), or export with `-af aresample=async=1`,
#   which puts silence into the gap; refuse an export whose length differs from the recording's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.8.1 pymediainfo==7.0.1 soundfile==0.14.0 numpy==2.4.6
cat > call.py <<'PY'
import subprocess
from fractions import Fraction
import av, imageio_ffmpeg, numpy, soundfile
from pymediainfo import MediaInfo

ffmpeg, rate = imageio_ffmpeg.get_ffmpeg_exe(), 48000
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def record(path, format, codec):
    """A low tone until 3 s, nothing until 7 s, a high tone until 10 s, in packets of 20 ms."""
    with av.open(path, "w", format=format) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        size = rate // 50
        for n in [*range(150), *range(350, 500)]:
            tone = numpy.sin(2 * numpy.pi * (440 if n < 150 else 1760) * (numpy.arange(size) + n * size) / rate)
            frame = av.AudioFrame.from_ndarray((8000 * tone).astype(numpy.int16)[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, n * size, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

def export(path, *options):
    subprocess.run([ffmpeg, "-y", "-v", "error", "-i", path, *options, "out.wav"], check=True)
    samples, _ = soundfile.read("out.wav")
    blocks = samples[: len(samples) // 4800 * 4800].reshape(-1, 4800)
    pitch = [numpy.count_nonzero(numpy.diff(numpy.signbit(block))) for block in blocks]  # 88 for the low tone, 352 for the high
    high = next(n for n, crossings in enumerate(pitch) if crossings > 200) / 10
    return f"{len(samples) / rate:.0f} s, high tone from {high:.0f} s"

for path, format, codec in (("call.mka", "matroska", "libopus"), ("call.ogg", "ogg", "libopus"), ("call.mp4", "mp4", "aac")):
    record(path, format, codec)
    length = MediaInfo.parse(path).general_tracks[0].duration / 1000
    print(f"{path}: MediaInfo {length:.0f} s; WAV {export(path)}; with aresample {export(path, '-af', 'aresample=async=1')}")
print(f"call.ogg: soundfile says {soundfile.info('call.ogg').duration:.0f} s and reads {len(soundfile.read('call.ogg')[0]) / rate:.0f} s")
PY
seen=$(venv/bin/python call.py)
echo "$seen"
[ "$(tail -n 4 <<<"$seen")" = "call.mka: MediaInfo 10 s; WAV 6 s, high tone from 3 s; with aresample 10 s, high tone from 7 s
call.ogg: MediaInfo 10 s; WAV 6 s, high tone from 3 s; with aresample 10 s, high tone from 7 s
call.mp4: MediaInfo 10 s; WAV 6 s, high tone from 3 s; with aresample 10 s, high tone from 7 s
call.ogg: soundfile says 10 s and reads 6 s" ] || changed "other lengths than described"
echo "as described"
