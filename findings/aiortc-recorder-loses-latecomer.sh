#!/usr/bin/env bash
# Tool: aiortc 1.16.0 (Python, WebRTC) with PyAV 18.1.0, its MediaRecorder, as bots and services that record a call use it; real connections on
#   loopback. It takes three to five minutes.
# Expected: who joins a call in its third second is heard from 3 s on in the recording; a hold takes the time that it took; the file of a six-second call is
#   six seconds long, whatever was joined, held or exchanged meanwhile.
# Happens:
#   - A track that is added after start() (addTrack and start are taken again, without an error) is not recorded, and destroys the file: stop() ends with a ValueError
#     before the file is closed, so that nobody who was there before can be heard either (an empty MKV, an MP4 of 44 bytes). In WAV the latecomer is
#     left out without any error.
#   - Tracks that were added before start() all begin at 0 s: who spoke first at 3 s answers questions that are asked three seconds later.
#   - A hold of three seconds (no packets, timestamps go on) is not in a WAV or MP3: the call is three seconds long. In MKV and MP4 it is.
#   - After the sender exchanged its track by replaceTrack (aiortc on both sides: an announcement, then the agent) the MKV says that it is 24 hours and 51 minutes long.
# Why: each track has its own zero (TimestampMapper of rtcrtpreceiver.py), which takes any timestamp below the last for one that wrapped (2^32 / 48000 s), and RTCRtpSender
#   takes the timestamps of the new track as they are; MediaRecorder (contrib/media.py) writes frames one after the other, and stop() flushes streams never begun.
# Hurts: recordings that have to be kept are lost as a whole, or tell another conversation; a mute at the times of a transcript or of a card payment hits other words;
#   players and retention that trust the length see a day.
# Instead: one recorder and file for each track, begun when its first frame comes, that time noted beside it, joined later by these times; MKV, not WAV; compare
#   each file's length with the clock; add no track after start().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0 av==18.1.0 numpy==2.4.6
cat > call.py <<'PY'
import asyncio, fractions, os
from importlib.metadata import version
import av, numpy
from aiortc import RTCPeerConnection
from aiortc.contrib.media import MediaRecorder
from aiortc.mediastreams import MediaStreamTrack

class Voice(MediaStreamTrack):
    """A tone in frames of 20 ms by the clock up to `last`; nothing is sent before `first`, nor from `hold` on for three seconds."""
    kind = "audio"
    def __init__(self, first=0, hold=None, last=6):
        super().__init__()
        self.number, self.first, self.hold, self.last, self.begin = 0, first, hold, last, None
    async def recv(self):
        clock = asyncio.get_running_loop().time
        if self.begin is None:
            self.begin = clock() + self.first
        if self.hold is not None and self.number == self.hold * 50:
            self.number += 150
        if self.number == self.last * 50:
            await asyncio.Event().wait()
        await asyncio.sleep(max(0, self.begin + self.number / 50 - clock()))
        times = (numpy.arange(960) + self.number * 960) / 48000
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update((8000 * numpy.sin(880 * numpy.pi * times)).astype(numpy.int16).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = 48000, self.number * 960, fractions.Fraction(1, 48000)
        self.number += 1
        return frame

async def join(voice, people):
    here, there = RTCPeerConnection(), RTCPeerConnection()
    people += here, there
    track = asyncio.get_running_loop().create_future()
    there.on("track", track.set_result)
    sender = here.addTrack(voice)
    await here.setLocalDescription(await here.createOffer())
    await there.setRemoteDescription(here.localDescription)
    await there.setLocalDescription(await there.createAnswer())
    await here.setRemoteDescription(there.localDescription)
    while here.connectionState != "connected" or there.connectionState != "connected":
        await asyncio.sleep(0.01)
    return await track, sender

def read(path):
    told = []
    try:
        with av.open(path) as file:
            count = len(file.streams)
        for index in range(count):
            with av.open(path) as file:
                frames = [(float(frame.pts * frame.time_base), frame.samples / frame.sample_rate) for frame in file.decode(file.streams[index])]
            begin, end = frames[0][0], frames[-1][0] + frames[-1][1]
            told.append(f"{begin:.0f} s to {end:.0f} s" if end < 3600 else f"{begin:.0f} s to {end // 3600:.0f} h {end % 3600 // 60:.0f} min")
    except (av.error.InvalidDataError, av.error.EOFError):
        told.append(f"cannot be read ({'empty' if os.path.getsize(path) == 0 else 'not empty'})")
    return ", ".join(told)

async def call(label, path, *voices, late=None, exchange=None):
    people = []
    joined = [await join(voice, people) for voice in voices]
    recorder = MediaRecorder(path)
    for track, _ in joined:
        recorder.addTrack(track)
    await recorder.start()
    await asyncio.sleep(3)
    if late:
        recorder.addTrack((await join(late, people))[0])
        await recorder.start()
    if exchange:
        joined[0][1].replaceTrack(exchange)
    await asyncio.sleep(3)
    quiet = 0
    while quiet < 10:  # on a slow machine the last packets are sent, and written, a while later
        await asyncio.sleep(0.1)
        sent = all(voice.number == voice.last * 50 for voice in ([exchange] if exchange else voices))
        quiet = quiet + 1 if sent and not any(track._queue.qsize() for track, _ in joined) else 0
    try:
        await recorder.stop()
        error = ""
    except ValueError:
        error = "stop() fails; "
    for person in people:
        await person.close()
    del recorder
    return f"{label}, {path.split('.')[1]}: {error}{read(path)}"

async def main():
    print("aiortc", version("aiortc"), "PyAV", version("av"))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for kind in ("mkv", "mp4"):
        print(await call("two from the begin", "begin." + kind, Voice(), Voice()))
    for kind in ("mkv", "mp4", "wav"):
        print(await call("the second added at 3 s", "late." + kind, Voice(), late=Voice(last=3)))
    print(await call("the second speaks from 3 s", "first.mkv", Voice(), Voice(first=3, last=3)))
    for kind in ("mkv", "mp4", "wav", "mp3"):
        print(await call("hold from 1.5 s to 4.5 s", "hold." + kind, Voice(hold=1.5)))
    print(await call("another track at 3 s", "exchange.mkv", Voice(), exchange=Voice(last=3)))

asyncio.run(main())
PY
seen=$(venv/bin/python call.py 2>errors.log) || { cat errors.log >&2; exit 1; }
echo "$seen"
[ "$(tail -n 11 <<<"$seen")" = 'two from the begin, mkv: 0 s to 6 s, 0 s to 6 s
two from the begin, mp4: 0 s to 6 s, 0 s to 6 s
the second added at 3 s, mkv: stop() fails; cannot be read (empty)
the second added at 3 s, mp4: stop() fails; cannot be read (not empty)
the second added at 3 s, wav: 0 s to 6 s
the second speaks from 3 s, mkv: 0 s to 6 s, 0 s to 3 s
hold from 1.5 s to 4.5 s, mkv: 0 s to 6 s
hold from 1.5 s to 4.5 s, mp4: 0 s to 6 s
hold from 1.5 s to 4.5 s, wav: 0 s to 3 s
hold from 1.5 s to 4.5 s, mp3: 0 s to 3 s
another track at 3 s, mkv: 0 s to 24 h 51 min' ] || changed "other recordings"
echo "as described"
