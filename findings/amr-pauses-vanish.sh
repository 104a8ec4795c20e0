#!/usr/bin/env bash
# Tools: FFmpeg 9.0.2 (imageio-ffmpeg 0.8.1; its version is printed) and PyAV 18.1.0 as readers of AMR, the voice of mobile phones, voicemail and MMS; libopencore-amrnb 0.1.6 and
#   libvo-amrwbenc 0.1.3 (Debian 12, unpacked, not installed) as the phone that writes, the first of them as another reader.
# Expected: ten seconds of which a person speaks for six are ten seconds long when they are read. The pauses hold no speech but comfort noise
#   (discontinuous transmission, part of AMR since 1999, usual in mobile networks): a frame of each 20 ms stands in the file all the same.
# Happens: FFmpeg has no such frames ("dtx mode is not implemented") and leaves each of them out: the WAV is six seconds long, with exit 0. What was said
#   at 7 s is at 3.1 s. With a pause of seven of ten seconds, as the side of a call that listens has it, it fails after it wrote the file, which is
#   3 s long. From AMR-WB ("HD voice") half a second of the four is gone. PyAV stops at the first pause with an
#   error. `aresample=async=1` brings the pauses back but one at the end. (That FFmpeg closes gaps that a file tells by its times is ffmpeg-hold-vanishes.sh; in
#   AMR there is no gap in the file.)
# Why: libavcodec's amrnbdec.c returns AVERROR_PATCHWELCOME for a frame of comfort noise and AVERROR_INVALIDDATA for one without data, amrwbdec.c the former.
# Hurts: voicemail and recorded mobile calls come out shorter, by as much as was paused: times of a transcript or of the moment when card data was read out lie
#   elsewhere, so that a redaction silences other words; the two sides of a call drift apart; retention and billing see other lengths.
# Instead: read AMR by a decoder that has comfort noise (libopencore-amrnb, or the network's own), count the frames of the file (20 ms each) and
#   refuse a WAV of another length; `-xerror` makes FFmpeg fail at the first one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    libopencore-amrnb0=0.1.6-1 libvo-amrwbenc0=0.1.3-2 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.8.1 numpy==2.4.6
cat > call.py <<'PY'
import collections, ctypes, glob, subprocess, wave
import av, imageio_ffmpeg, numpy

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])
narrow, wide = (ctypes.CDLL(glob.glob(f"root/usr/lib/*/{name}")[0]) for name in ("libopencore-amrnb.so.0", "libvo-amrwbenc.so.0"))
for made in (narrow.Encoder_Interface_init, narrow.Decoder_Interface_init, wide.E_IF_init):
    made.restype = ctypes.c_void_p
PAUSE = {"amr": 8, "awb": 9}  # the type of a frame of comfort noise; 15 is one without data
SIZES = {"amr": (12, 13, 15, 17, 19, 20, 26, 31, 5), "awb": (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)}

def phone(path, speaks, pauses):
    """Ten seconds with a little noise and a syllable of each quarter of a second while the person speaks: low at first, high from 7 s on."""
    kind = path.split(".")[1]
    rate = 8000 if kind == "amr" else 16000
    time = numpy.arange(10 * rate) / rate
    syllables = 8000 * numpy.sin(2 * numpy.pi * numpy.where(time < 7, 440, 1760) * time) * (numpy.sin(8 * numpy.pi * time) > -0.6)
    talking = numpy.any([(time >= begin) & (time < end) for begin, end in speaks], axis=0)
    samples = (numpy.random.default_rng(1).normal(0, 10, len(time)) + talking * syllables).astype(numpy.int16)
    state = ctypes.c_void_p(narrow.Encoder_Interface_init(int(pauses)) if kind == "amr" else wide.E_IF_init())
    frame, size = ctypes.create_string_buffer(128), rate // 50
    with open(path, "wb") as file:
        file.write(b"#!AMR\n" if kind == "amr" else b"#!AMR-WB\n")
        for at in range(0, len(samples), size):
            part = samples[at:at + size].copy()
            if kind == "amr":
                length = narrow.Encoder_Interface_Encode(state, 7, ctypes.c_void_p(part.ctypes.data), frame, 0)
            else:
                length = wide.E_IF_encode(state, 8, ctypes.c_void_p(part.ctypes.data), frame, int(pauses))
            file.write(frame.raw[:length])

def frames(path):
    kind = path.split(".")[1]
    with open(path, "rb") as file:
        file.readline()
        while head := file.read(1):
            number = head[0] >> 3 & 15
            yield number, head + file.read(SIZES[kind][number] if number < len(SIZES[kind]) else 0)

def times(samples, rate):
    blocks = samples[: len(samples) // (rate // 20) * (rate // 20)].reshape(-1, rate // 20).astype(int)
    high = [n for n, block in enumerate(blocks) if abs(block).max() > 2000 and abs(20 * abs(numpy.fft.rfft(block)).argmax() - 1760) < 100]
    return f"{len(samples) / rate:.1f} s" + (f", high from {high[0] / 20:.1f} s" if high else "")

def other(path):
    state, out, all_samples = ctypes.c_void_p(narrow.Decoder_Interface_init()), (ctypes.c_int16 * 160)(), []
    for _, frame in frames(path):
        narrow.Decoder_Interface_Decode(state, frame, out, 0)
        all_samples.extend(out)
    return times(numpy.array(all_samples), 8000)

def export(path, *options):
    done = subprocess.run([ffmpeg, "-y", "-nostdin", "-v", "quiet", "-i", path, *options, "out.wav"])
    with wave.open("out.wav") as file:
        return times(numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16), file.getframerate()) + ("" if done.returncode == 0 else ", then an error")

def library(path):
    count = 0
    with av.open(path) as file:
        try:
            for frame in file.decode(audio=0):
                count += frame.samples / frame.sample_rate
        except av.error.FFmpegError as error:
            return f"{count:.1f} s, then an error"
    return f"{count:.1f} s"

six, three = ((0, 3), (7, 10)), ((0, 1.5), (8.5, 10))
for path, speaks, pauses in (("whole.amr", six, False), ("call.amr", six, True), ("listening.amr", three, True), ("call.awb", six, True)):
    phone(path, speaks, pauses)
    kinds = collections.Counter({PAUSE[path[-3:]]: "noise", 15: "empty"}.get(kind, "speech") for kind, _ in frames(path))
    print(f"{path}: {kinds.total() / 50:.1f} s in the file ({kinds['noise']} frames of noise, {kinds['empty']} empty)")
    print(f"  FFmpeg {export(path)}; aresample {export(path, '-af', 'aresample=async=1')}; PyAV {library(path)}", end="")
    print(f"; opencore {other(path)}" if path.endswith("amr") else "")
failed = subprocess.run([ffmpeg, "-y", "-nostdin", "-v", "quiet", "-xerror", "-i", "call.amr", "out.wav"]).returncode != 0
print("with -xerror:", "fails" if failed else "no error")
PY
seen=$(venv/bin/python call.py)
echo "$seen"
[ "$(tail -n 9 <<<"$seen")" = "whole.amr: 10.0 s in the file (0 frames of noise, 0 empty)
  FFmpeg 10.0 s, high from 7.0 s; aresample 10.0 s, high from 7.0 s; PyAV 10.0 s; opencore 10.0 s, high from 7.0 s
call.amr: 10.0 s in the file (27 frames of noise, 169 empty)
  FFmpeg 6.1 s, high from 3.1 s; aresample 9.9 s, high from 7.0 s; PyAV 3.2 s, then an error; opencore 10.0 s, high from 7.0 s
listening.amr: 10.0 s in the file (46 frames of noise, 300 empty)
  FFmpeg 3.1 s, high from 1.6 s, then an error; aresample 9.9 s, high from 8.5 s, then an error; PyAV 1.7 s, then an error; opencore 10.0 s, high from 8.5 s
call.awb: 10.0 s in the file (25 frames of noise, 165 empty)
  FFmpeg 9.5 s, high from 6.5 s; aresample 10.0 s, high from 7.0 s; PyAV 3.2 s, then an error
with -xerror: fails" ] || changed "other lengths than described"
echo "as described"
