#!/usr/bin/env bash
# Tools: soundfile 0.14.0 (libsndfile), mutagen 1.48.1, PyAV 18.1.0 (Python), music-metadata 11.16.1, mediabunny 1.61.0 (Node.js), beside FFmpeg
#   (imageio-ffmpeg 0.8.1): an Ogg recording of two parts, one behind the other in one file, as a recorder writes that appends after a
#   restart or a hold. The Ogg standard (RFC 3533, RFC 7845) allows it: "chaining".
# Expected: ten seconds are ten seconds to each reader, or the file is refused.
# Happens: FFmpeg decodes both parts. soundfile reads the first and ends with success; mutagen, music-metadata and mediabunny tell five seconds,
#   and mediabunny's packets end there, in Opus and in Vorbis. PyAV tells five seconds for the file and then decodes ten.
# Hurts: what is transcribed, searched for card numbers or redacted is the call up to the hold; the rest is in the file, is played to
#   whoever listens, and nobody looked at it. Lengths that are compared agree with each other, and are wrong.
# Instead: write each part to a file of its own, or join them by decoding; refuse a file in which a beginning-of-stream page follows
#   audio; compare the length with the call's, not with another library's answer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6 mutagen==1.48.1 av==18.1.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund music-metadata@11.16.1 mediabunny@1.61.0
cat > length.mjs <<'JS'
import { parseFile } from 'music-metadata';
import { ALL_FORMATS, EncodedPacketSink, FilePathSource, Input } from 'mediabunny';
const path = process.argv[2];
const { format } = await parseFile(path, { duration: true });
const input = new Input({ formats: ALL_FORMATS, source: new FilePathSource(path) });
let end;
for await (const packet of new EncodedPacketSink(await input.getPrimaryAudioTrack()).packets()) end = packet.timestamp + packet.duration;
console.log(`music-metadata ${Math.round(format.duration)} s, mediabunny ${Math.round(await input.computeDuration())} s, its packets ${Math.round(end)} s`);
JS
cat > length.py <<'PY'
import subprocess
import av, imageio_ffmpeg, mutagen, soundfile

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])

def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

for codec, name in (("libopus", "opus"), ("libvorbis", "ogg")):
    with open("call." + name, "wb") as call:
        for tone in (440, 880):
            run(ffmpeg, "-y", "-v", "error", "-f", "lavfi", "-i", f"sine=f={tone}:d=5", "-c:a", codec, "part." + name)
            with open("part." + name, "rb") as part:
                call.write(part.read())
    path = "call." + name
    run(ffmpeg, "-y", "-v", "error", "-i", path, "all.wav")
    samples, rate = soundfile.read(path)
    with av.open(path) as file:
        told = file.duration / 1e6
        decoded = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    print(f"{codec}: FFmpeg {soundfile.info('all.wav').duration:.0f} s, soundfile {len(samples) / rate:.0f} s, mutagen {mutagen.File(path).info.length:.0f} s, "
        f"PyAV {told:.0f} s, decoded {decoded:.0f} s, {run('node', 'length.mjs', path).strip()}")
PY
seen=$(venv/bin/python length.py)
echo "$seen"
told="FFmpeg 10 s, soundfile 5 s, mutagen 5 s, PyAV 5 s, decoded 10 s, music-metadata 5 s, mediabunny 5 s, its packets 5 s"
[ "$(tail -n +2 <<<"$seen")" = "libopus: $told
libvorbis: $told" ] || changed "other lengths are read"
echo "as described"
