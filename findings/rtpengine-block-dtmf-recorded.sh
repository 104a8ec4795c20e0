#!/usr/bin/env bash
# Tool: rtpengine 10.5.3.5 (Debian 12: rtpengine-daemon 10.5.3.5-1+deb12u1 with its libraries, unpacked, not installed), recording by itself (pcap).
# Expected: after `block DTMF` the digits of that call reach neither the other side nor the proxy's own recording; after `block media`
#   or `silence media` the recording holds what the other side still hears.
# Happens: the recording is written from what came in. With `block DTMF` the agent's side gets no digit, and all four are in the pcap. With
#   `block media` the agent's side hears nothing but still gets every digit, and the pcap holds voice and digits; with `silence media` too.
# Hurts: a caller types a card number while the agent is shielded from it, as the demo shows; the number lies in the recording in clear,
#   in a form that a program reads without listening.
# Instead: `stop recording` before the digits and `start recording` after them (tried here: the digits are not in the file), or record behind
#   the proxy; look for telephone-event packets in the finished files.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    rtpengine-daemon=10.5.3.5-1+deb12u1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > call.py <<'PY'
import glob, socket, struct, subprocess, time

def free():
    """A socket at an even port, as RTP wants it."""
    while True:
        it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        it.bind(("127.0.0.1", 0))
        if it.getsockname()[1] % 2 == 0:
            return it
        it.close()

def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    text = value.encode()
    return b"%d:%s" % (len(text), text)

def port_in(reply):
    return int(reply.split(b"m=audio ")[1].split()[0])

def add(digits, payload):
    return digits + str(payload[0]) if payload[1] & 0x80 == 0 and digits[-1:] != str(payload[0]) else digits

def call(label, during):
    control, caller, agent = free(), free(), free()
    at = control.getsockname()
    control.close()
    folder = label.replace(" ", "-")
    server = subprocess.Popen(["root/usr/bin/rtpengine", "--config-file=none", "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{at[1]}",
        "--table=-1", "--foreground", "--log-stderr", f"--pidfile={folder}.pid", f"--recording-dir={folder}", "--recording-method=pcap",
        "--recording-format=raw"], stderr=open(folder + ".log", "w"))
    try:
        asker, count = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
        asker.settimeout(1)
        def ask(command, **more):
            nonlocal count
            count += 1
            message = b"%d " % count + bencode({"command": command, "call-id": folder, "from-tag": "caller", **more})
            for _ in range(10):
                try:
                    asker.sendto(message, at)
                    reply = asker.recv(65535)
                    assert b"6:result2:ok" in reply, reply
                    return reply
                except (ConnectionRefusedError, TimeoutError):
                    time.sleep(0.3)
            raise SystemExit("rtpengine does not answer")
        def sdp(side):
            return (f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {side.getsockname()[1]} RTP/AVP 0 101\r\n"
                    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n")
        ask("offer", sdp=sdp(caller))
        entry = port_in(ask("answer", sdp=sdp(agent), **{"to-tag": "agent"}))
        agent.setblocking(False)
        sequence, clock, voice, digits = 0, 0, 0, ""
        def listen():
            nonlocal voice, digits
            while True:
                try:
                    packet = agent.recv(2000)
                except BlockingIOError:
                    return
                if packet[1] & 127 == 101:
                    digits = add(digits, packet[12:])
                else:
                    voice += 1
        def send(kind, payload):
            nonlocal sequence
            sequence += 1
            caller.sendto(struct.pack(">BBHII", 0x80, kind, sequence, clock, 7) + payload, ("127.0.0.1", entry))
            time.sleep(0.02)
            listen()
        def speak():
            nonlocal clock
            for _ in range(10):
                send(0, b"\x55" * 160)
                clock += 160
        ask("start recording")
        speak()
        if during:
            ask(during)
        for digit in (4, 2, 7, 1):
            for n in range(1, 5):
                send(101, struct.pack(">BBH", digit, 10, 160 * n))
            for _ in range(3):
                send(101, struct.pack(">BBH", digit, 0x80 | 10, 800))
            clock += 1600
            speak()
        if during == "stop recording":
            ask("start recording")
            speak()
        time.sleep(0.3)
        listen()
        ask("delete")
        time.sleep(1)
    finally:
        server.terminate()
        server.wait()
    kept_voice, kept_digits = 0, ""
    for path in glob.glob(folder + "/pcaps/*.pcap"):
        with open(path, "rb") as file:
            rest = file.read()[24:]
        while rest:
            size = struct.unpack("<I", rest[8:12])[0]
            packet, rest = rest[16:16 + size], rest[16 + size:]
            rtp = packet[(packet[0] & 15) * 4 + 8:]
            if len(rtp) > 12 and rtp[1] & 127 == 101:
                kept_digits = add(kept_digits, rtp[12:])
            elif rtp[12:13] == b"\x55":
                kept_voice += 1
    spoken = 60 if during == "stop recording" else 50
    word = lambda count: "all voice" if count >= spoken - 2 else "the voice before and after" if count else "no voice"
    print(f"{label}: the agent gets {word(voice)} and digits {digits or 'none'}; recorded {word(kept_voice)} and digits {kept_digits or 'none'}")

call("nothing blocked", None)
for command in ("block DTMF", "block media", "silence media", "stop recording"):
    call(command, command)
PY
LD_LIBRARY_PATH=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
root/usr/bin/rtpengine --version 2>&1
seen=$(python3 call.py)
echo "$seen"
[ "$seen" = "nothing blocked: the agent gets all voice and digits 4271; recorded all voice and digits 4271
block DTMF: the agent gets all voice and digits none; recorded all voice and digits 4271
block media: the agent gets the voice before and after and digits 4271; recorded all voice and digits 4271
silence media: the agent gets all voice and digits 4271; recorded all voice and digits 4271
stop recording: the agent gets all voice and digits 4271; recorded the voice before and after and digits none" ] || changed "other things are recorded"
echo "as described"
