#!/usr/bin/env bash
# Tools: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), soundfile 0.14.0 as the maker and the judge of the files.
# Expected: `volume=0:enable='between(t,5.2,6.2)'` silences what lies between 5.2 s and 6.2 s, to the sample, in any file.
# Happens: whether the filter is on is decided once for each frame, by the time at which the frame begins. How long a frame is comes
#   from the file: at 8 kHz a FLAC frame takes half a second, a WAV frame 64 ms, an Opus frame 20 ms. In FLAC the silence begins up to
#   half a second late and ends as much late. `volume='if(between(t,…),0,1)':eval=frame` does the same. No warning.
# Hurts: a card number or a diagnosis that is to be muted stays audible for its first half second (one or two digits); the same list of
#   times passes a test on WAV or Opus files and leaks on the archive's FLAC files.
# Instead: cut the frames small first (`asetnsamples=n=8,volume=…`), or compute each sample (`aeval`); measure the silence in the
#   output before the original is thrown away.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
cat > mute.py <<'PY'
import subprocess
import imageio_ffmpeg, numpy, soundfile

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def make(path, rate, format, subtype):
    soundfile.write(path, 0.3 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(rate * 10) / rate), rate, format=format, subtype=subtype)

def silence(path, mute, start):
    subprocess.run([ffmpeg, "-y", "-v", "error", "-i", path, "-af", mute.format(f"between(t,{start},{start + 1})"), "out.wav"], check=True)
    samples, rate = soundfile.read("out.wav")
    size = rate // 200
    loud = [abs(samples[n:n + size]).max() > 0.01 for n in range(0, len(samples), size)]
    first = loud.index(False)
    return f"{first / 200 - start:.2f} s late"

make("call.wav", 8000, "WAV", "ULAW")
make("call.flac", 8000, "FLAC", "PCM_16")
make("call.ogg", 48000, "OGG", "OPUS")
plain = "volume=0:enable='{}'"
for path, name, mute in (
    ("call.wav", "enable", plain), ("call.ogg", "enable", plain), ("call.flac", "enable", plain),
    ("call.flac", "eval=frame", "volume='if({},0,1)':eval=frame"),
    ("call.flac", "asetnsamples first", "asetnsamples=n=8," + plain), ("call.flac", "aeval", "aeval='if({},0,val(0))'"),
):
    print(f"{path}, {name}: mute at 3.1 s begins {silence(path, mute, 3.1)}, at 5.2 s {silence(path, mute, 5.2)}")
PY
seen=$(venv/bin/python mute.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "call.wav, enable: mute at 3.1 s begins 0.04 s late, at 5.2 s 0.05 s late
call.ogg, enable: mute at 3.1 s begins 0.02 s late, at 5.2 s 0.01 s late
call.flac, enable: mute at 3.1 s begins 0.48 s late, at 5.2 s 0.43 s late
call.flac, eval=frame: mute at 3.1 s begins 0.48 s late, at 5.2 s 0.43 s late
call.flac, asetnsamples first: mute at 3.1 s begins 0.00 s late, at 5.2 s 0.00 s late
call.flac, aeval: mute at 3.1 s begins 0.00 s late, at 5.2 s 0.00 s late" ] || changed "other delays than described"
echo "as described"
