#!/usr/bin/env bash
# Tools: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), PyAV 18.1.0 as the reader.
# Expected: cutting the first eight seconds off a screen recording without encoding it anew (`-ss 8 -c copy`) leaves the rest: the file may
#   begin a little earlier or later, as it must begin at a key frame, and what it shows is what it holds.
# Happens: the MP4 (and MOV) file shows twelve of twenty seconds, and holds all twenty: FFmpeg copies from the last key frame on and writes
#   an edit list that tells players to hide the first part. Remuxed once more into Matroska or MPEG-TS the hidden part is
#   shown; Matroska and WebM show it at once. With `-ss` after the input and no key frame behind it the file has no picture at all,
#   with exit code 0.
# Hurts: a card form or a record that was on the screen in the first seconds is cut off, the reviewer's player agrees, and the
#   file that is handed out or archived still holds it, readable by whoever ignores the edit list or converts the file.
# Instead: encode anew what is cut for confidentiality; compare the packets in the file (not its duration) with the length meant.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.8.1 numpy==2.4.6
cat > cut.py <<'PY'
import subprocess
import av, imageio_ffmpeg

program = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([program, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def ffmpeg(*options):
    subprocess.run([program, "-y", "-v", "error", *options], check=True)

def frames(path, **options):
    """Frames in the file, and how many of them show the form (a white corner)."""
    try:
        with av.open(path, options=options) as file:
            corners = [frame.to_ndarray(format="gray")[10:90, 10:90].mean() for frame in file.decode(video=0)]
    except (IndexError, EOFError):
        return "no picture"
    return f"{len(corners)} frames, {sum(corner > 128 for corner in corners)} with the form"

# 20 seconds of ten frames each; the form is open for the first six. The only key frame is the first one, as in a quiet screen recording.
corner = "drawbox=0:0:100:100:{}:fill:enable='{}(t,6)'"
ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x240:r=10:d=20", "-vf", corner.format("white", "lt") + "," + corner.format("black", "gte"),
       "-sc_threshold", "0", "-g", "250", "-c:v", "libx264", "-pix_fmt", "yuv420p", "screen.mp4")
ffmpeg("-ss", "8", "-i", "screen.mp4", "-c", "copy", "cut.mp4")
print("cut.mp4, as played:", frames("cut.mp4"))
print("cut.mp4, edit list ignored:", frames("cut.mp4", ignore_editlist="1"))
ffmpeg("-i", "cut.mp4", "-c", "copy", "remuxed.mkv")
print("cut.mp4 remuxed to Matroska:", frames("remuxed.mkv"))
ffmpeg("-ss", "8", "-i", "screen.mp4", "-c", "copy", "cut.mkv")
print("cut.mkv, as played:", frames("cut.mkv"))
ffmpeg("-i", "screen.mp4", "-ss", "8", "-c", "copy", "after.mp4")
print("-ss after the input:", frames("after.mp4"))
ffmpeg("-ss", "8", "-i", "screen.mp4", "encoded.mp4")
print("encoded anew, edit list ignored:", frames("encoded.mp4", ignore_editlist="1"))
PY
seen=$(venv/bin/python cut.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "cut.mp4, as played: 120 frames, 0 with the form
cut.mp4, edit list ignored: 200 frames, 60 with the form
cut.mp4 remuxed to Matroska: 200 frames, 60 with the form
cut.mkv, as played: 200 frames, 60 with the form
-ss after the input: no picture
encoded anew, edit list ignored: 120 frames, 0 with the form" ] || changed "the files hold something else"
echo "as described"
