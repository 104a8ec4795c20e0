#!/usr/bin/env bash
# Tool: rtpengine 10.5.3.5 (Debian 12: rtpengine-daemon 10.5.3.5-1+deb12u1 with its libraries, unpacked, not installed), recording by itself
#   (pcap), a call whose media is encrypted with SRTP on both sides (keys in the SDP, as SIP over TLS carries them).
# Expected: the text file that rtpengine writes beside each recording describes the call; the keys of the encrypted media are not in it.
# Happens: it holds the whole SDP of offer and answer as sent on, with every key line (a=crypto … inline:…): the caller's key and the
#   callee's, readable for everybody on the machine (mode 644 or wider, by umask), for as long as the recordings are kept.
# Hurts: who may read or back up "metadata" can decrypt captures of that call's packets made anywhere else (a mirror port, a provider's
#   trace); encrypting the pcap files alone does not help, and keys get into the search index of the call records.
# Instead: give the folder metadata the protection of the recordings (or strip a=crypto lines before it is moved on); prefer DTLS-SRTP,
#   whose keys are not in the SDP.
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
import base64, glob, os, re, socket, subprocess, time

def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    text = value if isinstance(value, bytes) else str(value).encode()
    return b"i%de" % value if isinstance(value, int) else b"%d:%s" % (len(text), text)

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
    free.bind(("127.0.0.1", 0))
    at = free.getsockname()
os.umask(0o022)
server = subprocess.Popen(["root/usr/bin/rtpengine", "--config-file=none", "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{at[1]}", "--table=-1",
    "--foreground", "--log-stderr", "--pidfile=pid", "--recording-dir=calls", "--recording-method=pcap", "--recording-format=raw"], stderr=open("log", "w"))
asker, count = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
asker.settimeout(1)

def ask(command, **more):
    global count
    count += 1
    message = b"%d " % count + bencode({"command": command, "call-id": "call", "from-tag": "caller", **{key.replace("_", "-"): value for key, value in more.items()}})
    for _ in range(10):
        try:
            asker.sendto(message, at)
            reply = asker.recv(65535)
            assert b"6:result2:ok" in reply, reply
            return
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.3)
    raise SystemExit("rtpengine does not answer")

def sdp(port, key):
    return (f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
            f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n")

caller, callee = (base64.b64encode(os.urandom(30)).decode() for _ in range(2))
try:
    ask("offer", sdp=sdp(40000, caller), record_call="yes")
    ask("answer", sdp=sdp(40002, callee), to_tag="callee")
    ask("delete", delete_delay=0)
    for _ in range(20):
        files = glob.glob("calls/metadata/*.txt")
        if files:
            break
        time.sleep(0.5)
finally:
    server.terminate()
    server.wait()
with open(files[0]) as file:
    text = file.read()
print("the caller's key in the metadata file:", caller in text)
print("the callee's key in the metadata file:", callee in text)
print("readable for everybody:", bool(os.stat(files[0]).st_mode & 0o004))
with open("log") as file:
    print("keys in the log:", "inline:" in file.read())
PY
LD_LIBRARY_PATH=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
root/usr/bin/rtpengine --version 2>&1
seen=$(python3 call.py)
echo "$seen"
[ "$seen" = "the caller's key in the metadata file: True
the callee's key in the metadata file: True
readable for everybody: True
keys in the log: False" ] || changed "the file holds something else"
echo "as described"
