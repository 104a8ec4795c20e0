#!/usr/bin/env bash
# Tool: FFmpeg (imageio-ffmpeg 0.8.1; its version is printed), the encryption of its two container writers: HLS with -hls_key_info_file (AES-128), MP4 with
#   -encryption_scheme cenc-aes-ctr (common encryption). Each holds a recording with its transcript as a subtitle stream.
# Expected: what is written is encrypted, the transcript too; with the key all of it can be read again.
# Happens: HLS encrypts the segments of audio and video; the segments of the subtitles are plain WebVTT files beside them, in a
#   playlist that names no key. MP4 encrypts the subtitles, but marks only audio and video as encrypted: with the right key FFmpeg
#   plays the audio, and the transcript is lost to it; title and chapter names are in clear. No warning in either.
# Hurts: a recording on a web server or in an archive counts as encrypted while its words, the part that is searched most easily, are not; in
#   the other form the transcript is gone for all who rely on the same tool, noticed when the original is deleted.
# Instead: encrypt the whole file or folder outside of FFmpeg (or store the transcript by itself, encrypted); search the output for a word of the
#   transcript, and read all streams of an encrypted file back with the key, before the original is deleted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1
cat > encrypt.py <<'PY'
import os, subprocess
import imageio_ffmpeg

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def run(*arguments):
    done = subprocess.run([ffmpeg, "-y", "-v", "warning", *arguments], capture_output=True)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode

def made(*arguments):
    _, said, code = run(*arguments)
    assert code == 0, said
    return "encrypt" in said.lower() or "subtitle" in said.lower()

with open("call.srt", "w") as file:
    file.write("1\n00:00:01,000 --> 00:00:03,000\nI have diabetes.\n\n2\n00:00:08,000 --> 00:00:09,000\nThank you.\n")
with open("names.txt", "w") as file:
    file.write(";FFMETADATA1\ntitle=Zyxwvut Qwertz\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=5000\ntitle=diagnosis\n")
with open("key", "wb") as file:
    file.write(os.urandom(16))
with open("keyinfo", "w") as file:
    file.write("https://keys.example.org/1\nkey\n")
key = "00112233445566778899aabbccddeeff"
call = ["-f", "lavfi", "-i", "testsrc=s=160x120:r=5:d=10", "-f", "lavfi", "-i", "sine=d=10", "-i", "call.srt", "-i", "names.txt",
    "-map", "0", "-map", "1", "-map", "2", "-map_metadata", "3", "-map_chapters", "3", "-c:v", "libx264", "-g", "20", "-c:a", "aac"]

os.mkdir("hls")
warned = made(*call, "-c:s", "webvtt", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod", "-hls_key_info_file", "keyinfo",
    "-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,s:0,sgroup:text", "hls/call_%v.m3u8")
print("HLS, warned:", warned)
for name in sorted(os.listdir("hls")):
    with open("hls/" + name, "rb") as file:
        data = file.read()
    if name.endswith(".m3u8") and b"EXTINF" in data:
        print(f"  {name} names a key: {b'EXT-X-KEY' in data}")
    elif b"diabetes" in data:
        print(f"  {name} in clear")
    elif name.endswith(".ts"):
        print(f"  {name} {'in clear' if data[0] == 0x47 else 'encrypted'}")

def back(name, *more):
    run(*more, "-i", name, "-map", "0:a", "-c:a", "pcm_s16le", "back.wav")
    with open("back.wav", "rb") as file:
        audio = file.read()
    words, _, _ = run(*more, "-i", name, "-map", "0:s:0", "-f", "srt", "-")
    return audio, f"audio of {len(audio) // 88200} s, transcript {'read' if 'diabetes' in words else 'not read'}"

plain = [*call, "-c:s", "mov_text"]
made(*plain, "plain.mp4")
warned = made(*plain, "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key, "call.mp4")
print("MP4, warned:", warned)
with open("call.mp4", "rb") as file:
    data = file.read()
print("  in clear:", " ".join(word for word in ("diabetes", "Zyxwvut", "diagnosis") if word.encode() in data))
before, without = back("plain.mp4")
after, told = back("call.mp4", "-decryption_key", key)
print("  written without encryption:", without)
print("  with the key:", told + (", the same audio" if before == after else ", other audio"))
PY
seen=$(venv/bin/python encrypt.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "HLS, warned: False
  call_0.m3u8 names a key: True
  call_00.ts encrypted
  call_00.vtt in clear
  call_01.ts encrypted
  call_02.ts encrypted
  call_0_vtt.m3u8 names a key: False
MP4, warned: False
  in clear: Zyxwvut diagnosis
  written without encryption: audio of 10 s, transcript read
  with the key: audio of 10 s, transcript not read, the same audio" ] || changed "other parts are encrypted"
echo "as described"
