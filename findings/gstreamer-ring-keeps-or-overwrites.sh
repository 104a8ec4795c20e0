#!/usr/bin/env bash
# Tool: GStreamer 1.22.0 (Debian 12, unpacked, not installed), splitmuxsink and multifilesink, which write a recording in pieces of a second here and keep three of
#   them (`max-files=3`: "Maximum number of files to keep on disk. Once the maximum is reached, old files start to be deleted to make room for new ones").
# Expected: the three newest pieces are there, whatever their names, and a recorder that was restarted goes on with the oldest of them.
# Happens: splitmuxsink deletes nothing: after three pieces it begins again with number 0, so that the name is written over. With names that the program gives
#   (the signal format-location, as for names with a time) all eleven pieces stay, and each further one. With numbers a restart begins with 0, which may
#   be the newest piece, and a short run writes over that and leaves older ones. multifilesink deletes what it wrote itself since its start: those of
#   before a restart stay beside them, three more each time that the names differ.
# Hurts: recordings that the ring was to keep for a week are there for ever, in clear, as soon as somebody gives the pieces readable names; or the last minutes
#   before a crash, which are those that one wants to hear, are the ones that the restarted recorder writes over.
# Instead: delete by age outside of the recorder, by the time in the name; give each run names of its own and sweep what earlier runs left; seal finished pieces
#   under a key that ends with its period.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-base gstreamer1.0-tools python3-gi gir1.2-gstreamer-1.0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
library=lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$work/root/usr/$library:$work/root/usr/$library/pulseaudio"
export GST_PLUGIN_SYSTEM_PATH_1_0="$work/root/usr/$library/gstreamer-1.0:/usr/$library/gstreamer-1.0"
export GST_REGISTRY="$work/registry" GST_REGISTRY_FORK=no
export PYTHONPATH="$work/root/usr/lib/python3/dist-packages:/usr/lib/python3/dist-packages"
export GI_TYPELIB_PATH="$work/root/usr/$library/girepository-1.0:/usr/$library/girepository-1.0"
dpkg-deb -f debs/gstreamer1.0-plugins-good_*.deb Version
cat > record.py <<'PY'
import os, sys
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)

def record(seconds, sink, name=None):
    source = f"audiotestsrc num-buffers={seconds * 10 + 5} samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1"
    if sink == "splitmuxsink":
        line = f"splitmuxsink name=ring muxer=matroskamux max-size-time=1000000000 max-files=3 location=call%05d.mka {source} ! opusenc ! queue ! ring.audio_0"
    else:
        line = f"{source} ! multifilesink next-file=max-size max-file-size=16000 max-files=3 location={name or 'call'}%05d.raw"
    pipeline = Gst.parse_launch(line)
    written = []
    if sink == "splitmuxsink":
        def location(_, number):
            written.append(name(len(written)) if name else f"call{number:05d}.mka")
            return written[-1]
        pipeline.get_by_name("ring").connect("format-location", location)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(120 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message is None or message.type != Gst.MessageType.EOS:
        raise SystemExit("not recorded: " + str(message and message.parse_error()))
    return written

def there(name):
    files = sorted(file for file in os.listdir(".") if file.endswith((".mka", ".raw")))
    print(f"{name}: {len(files)} files, {' '.join(files)}")
    return files

def clear():
    for file in os.listdir("."):
        if file.endswith((".mka", ".raw")):
            os.remove(file)

written = record(6, "splitmuxsink")
there("splitmuxsink, numbers, 7 pieces")
print("in the order of writing:", *written)
content = {file: open(file, "rb").read() for file in os.listdir(".") if file.endswith(".mka")}
record(0, "splitmuxsink")
lost = [file for file in content if open(file, "rb").read() != content[file]]
print(f"a restart of half a second writes over {' '.join(lost)}, which was the {'newest' if lost == [written[-1]] else 'other'} one")
clear()
record(10, "splitmuxsink", lambda number: f"call-2026-12-01T10-00-{number:02d}.mka")
there("splitmuxsink, names with times, 11 pieces")
clear()
record(6, "multifilesink", "monday-")
there("multifilesink, 7 pieces")
record(6, "multifilesink", "tuesday-")
there("multifilesink, restarted with another name")
PY
seen=$(python3 record.py 2>record.log) || { tail -5 record.log >&2; exit 1; }
echo "$seen"
[ "$seen" = 'splitmuxsink, numbers, 7 pieces: 3 files, call00000.mka call00001.mka call00002.mka
in the order of writing: call00000.mka call00001.mka call00002.mka call00000.mka call00001.mka call00002.mka call00000.mka
a restart of half a second writes over call00000.mka, which was the newest one
splitmuxsink, names with times, 11 pieces: 11 files, call-2026-12-01T10-00-00.mka call-2026-12-01T10-00-01.mka call-2026-12-01T10-00-02.mka call-2026-12-01T10-00-03.mka call-2026-12-01T10-00-04.mka call-2026-12-01T10-00-05.mka call-2026-12-01T10-00-06.mka call-2026-12-01T10-00-07.mka call-2026-12-01T10-00-08.mka call-2026-12-01T10-00-09.mka call-2026-12-01T10-00-10.mka
multifilesink, 7 pieces: 3 files, monday-00004.raw monday-00005.raw monday-00006.raw
multifilesink, restarted with another name: 6 files, monday-00004.raw monday-00005.raw monday-00006.raw tuesday-00004.raw tuesday-00005.raw tuesday-00006.raw' ] || changed "other pieces are kept"
echo "as described"
