#!/usr/bin/env bash
# Tools: writers that are killed in the middle of a recording: Python's `wave`, libsndfile (soundfile 0.14.0), FFmpeg (imageio-ffmpeg 0.8.1).
#   Readers: `wave`, soundfile 0.14.0, tinytag 2.3.2, mutagen 1.48.1, MediaInfo (pymediainfo 7.0.1), FFmpeg (PyAV 18.1.0).
# Expected: the length of such a file is worked out from its size, or reading it is an error.
# Happens: three writers leave three headers, all samples being in the file each time.
#   `wave` writes the header for the first block it is given (20 ms here) and corrects it only when closed: all six readers, FFmpeg and
#   MediaInfo too, then report a recording of 0.02 seconds, without error.
#   libsndfile leaves zeros: `wave` refuses the file, tinytag and mutagen report 0 seconds without error, the others find all.
#   FFmpeg leaves the largest number: `wave`, tinytag and mutagen report many hours without error, the others find all.
# Hurts: a job that throws away "empty" recordings deletes calls that were cut by a crash; length limits, billing and retention
#   tables get 0.02 seconds or 74 hours; an export by FFmpeg of the first kind is 20 ms long and looks complete.
# Instead: hold the header against the size of the file; where they disagree the recording is unfinished: keep it, repair the header,
#   count it. Write blocks to raw files or to a format made of self-contained pages, and make the WAV when the call has ended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    soundfile==0.14.0 imageio-ffmpeg==0.8.1 tinytag==2.3.2 mutagen==1.48.1 pymediainfo==7.0.1 av==18.1.0
cat > write.py <<'PY'
"""Writes ten seconds of a call as the named writer does, and dies without closing the file."""
import math, os, signal, struct, subprocess, sys, time, wave
import imageio_ffmpeg, soundfile
name, path = sys.argv[1:]
second = b"".join(struct.pack("<h", int(8000 * math.sin(i / 5))) for i in range(8000))
if name == "wave":
    out = wave.open(path, "wb")
    out.setnchannels(1); out.setsampwidth(2); out.setframerate(8000)
    for start in range(0, 160000, 320):  # 20 ms each, as they come from RTP
        out.writeframesraw((second * 10)[start:start + 320])
    out._file.flush()
elif name == "soundfile":
    out = soundfile.SoundFile(path, "w", 8000, 1, "PCM_16")
    for _ in range(10):
        out.buffer_write(second, "int16")
else:
    child = subprocess.Popen([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-",
                              "-flush_packets", "1", path], stdin=subprocess.PIPE)
    child.stdin.write(second * 10)
    child.stdin.flush()
    for _ in range(100):
        time.sleep(0.1)
        if os.path.exists(path) and os.path.getsize(path) > 140000:
            break
    child.kill()
os.kill(os.getpid(), signal.SIGKILL)
PY
cat > read.py <<'PY'
import sys, wave
import av, mutagen.wave, soundfile, tinytag
from pymediainfo import MediaInfo
path = sys.argv[1]
def from_av():
    with av.open(path) as file:
        return sum(frame.samples for frame in file.decode(audio=0)) / 8000
readers = {
    "wave": lambda: wave.open(path).getnframes() / 8000,
    "soundfile": lambda: soundfile.info(path).duration,
    "tinytag": lambda: tinytag.TinyTag.get(path).duration,
    "mutagen": lambda: mutagen.wave.WAVE(path).info.length,
    "mediainfo": lambda: MediaInfo.parse(path).audio_tracks[0].duration / 1000,
    "ffmpeg": from_av,
}
def word(seconds):
    return "0" if seconds == 0 else "0.02" if seconds == 0.02 else "about-10" if 8.5 < seconds <= 10 else "over-an-hour" if seconds > 3600 else f"{seconds:.1f}"
for name, read in readers.items():
    try:
        print(f"{name}={word(read())}", end=" ")
    except Exception as error:
        print(f"{name}={type(error).__name__}", end=" ")
PY
seen=""
for writer in wave soundfile ffmpeg; do
    { venv/bin/python write.py "$writer" "$writer.wav" || true; } >/dev/null 2>&1
    line="$writer killed: $(venv/bin/python read.py "$writer.wav")"
    echo "$line($(stat -c %s "$writer.wav") bytes)"
    seen+="$line"$'\n'
done
[ "$seen" = "wave killed: wave=0.02 soundfile=0.02 tinytag=0.02 mutagen=0.02 mediainfo=0.02 ffmpeg=0.02 
soundfile killed: wave=Error soundfile=about-10 tinytag=0 mutagen=0 mediainfo=about-10 ffmpeg=about-10 
ffmpeg killed: wave=over-an-hour soundfile=about-10 tinytag=over-an-hour mutagen=over-an-hour mediainfo=about-10 ffmpeg=about-10 
" ] || changed "the lengths differ from the ones described"
echo "as described"
