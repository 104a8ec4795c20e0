#!/usr/bin/env bash
# Tools: coturn 4.6.1 (Debian 12, unpacked, not installed) and pion/turn 4.1.4 (Go, inside many WebRTC servers), relays for voice and video, each with
#   time-limited credentials from a shared secret ("TURN REST API": the user name begins with the time of the end). The client is aioice 0.13.0's STUN.
# Expected: one credential means the same to both: after its end nothing new is allowed, and a call that runs is either let to its end by both or cut by both;
#   taking the shared secret away ends what was allowed with it.
# Happens: coturn looks at the time once, when the relay is allocated. From then on the session is renewed, and opened to further addresses, for as long
#   as the client asks; after the secret was deleted from its database too. A new allocation is refused. pion/turn looks at the time in each request: after the end
#   no renewal is taken, so that a call that runs falls silent when its time is over (20 s here; by default its permission ends after 5 minutes).
# Hurts: on coturn an agent who left, or whose secret was rotated away, keeps a relay into the network for days; on pion a call that outlasts its
#   credential is cut in its middle. The same setting is right for one of them at most.
# Instead: coturn: after a rotation restart it or cancel the sessions, and alert on sessions older than the longest credential. pion: credentials that live
#   longer than the longest call, or new ones by an ICE restart before the end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root server
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    coturn=4.6.1-1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aioice==0.13.0
cat > server/main.go <<'GO'
package main

import (
	"log"
	"net"
	"os"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"
)

func main() {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	_, err = turn.NewServer(turn.ServerConfig{
		Realm:       "example.org",
		AuthHandler: turn.LongTermTURNRESTAuthHandler("secret", logging.NewDefaultLoggerFactory().NewLogger("turn")),
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: socket, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
			RelayAddress: net.ParseIP("127.0.0.1"), Address: "127.0.0.1"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	select {}
}
GO
(cd server && go mod init finding && go get github.com/pion/turn/v4@v4.1.4 && go mod tidy && go build -o ../pion .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat > turn.py <<'PY'
import base64, hashlib, hmac, os, socket, struct, subprocess, threading, time
from aioice import stun

Method, here = stun.Method, os.getcwd()
environment = {**os.environ, "LD_LIBRARY_PATH": f"{here}/root/usr/lib/x86_64-linux-gnu:{here}/root/lib/x86_64-linux-gnu"}

class Client:
    def __init__(self, server, name):
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.settimeout(1)
        self.server, self.name, self.realm = server, name, None
        self.word = base64.b64encode(hmac.new(b"secret", name.encode(), hashlib.sha1).digest()).decode()

    def answer(self, request):
        for _ in range(8):
            self.link.sendto(bytes(request), self.server)
            try:
                while True:
                    data = self.link.recv(2000)
                    if data[0] < 0x40 and data[8:20] == request.transaction_id:
                        return stun.parse_message(data).attributes
            except TimeoutError:
                pass
        return None

    def ask(self, method, **attributes):
        for _ in range(3):
            request = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
            request.attributes.update({key.replace("_", "-"): value for key, value in attributes.items()})
            if self.realm:
                request.attributes.update({"USERNAME": self.name, "REALM": self.realm, "NONCE": self.nonce})
                request.add_message_integrity(hashlib.md5(f"{self.name}:{self.realm}:{self.word}".encode()).digest())
            answer = self.answer(request)
            if answer is None:
                return "unanswered"
            if "ERROR-CODE" not in answer:
                return "taken"
            code = answer["ERROR-CODE"][0]
            if "NONCE" not in answer or (self.realm and code != 438):
                break
            self.realm, self.nonce = answer["REALM"], answer["NONCE"]
        return f"refused ({code})"

    def bind(self, channel, port):
        return self.ask(Method.CHANNEL_BIND, CHANNEL_NUMBER=channel, XOR_PEER_ADDRESS=("127.0.0.1", port))

    def heard(self):
        for _ in range(5):
            self.link.sendto(struct.pack("!HH", 0x4000, 5) + b"voice", self.server)
            try:
                while True:
                    if self.link.recv(2000)[4:9] == b"voice":
                        return "passes"
            except TimeoutError:
                pass
        return "is gone"

peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind(("127.0.0.1", 0))
def echo():
    while True:
        peer.sendto(*peer.recvfrom(2000))
threading.Thread(target=echo, daemon=True).start()

def turnadmin(option):
    subprocess.run(["root/usr/bin/turnadmin", option, "secret", "-r", "example.org", "-b", here + "/turn.db"], env=environment, check=True, stdout=subprocess.DEVNULL)

for label in ("coturn", "pion/turn"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    if label == "coturn":
        turnadmin("-s")
        command = ["root/usr/bin/turnserver", "-n", "--no-cli", "--use-auth-secret", "-b", here + "/turn.db", "-r", "example.org", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(address[1]),
            "--no-tcp", "--no-tls", "--no-dtls", "--allow-loopback-peers", "--pidfile", here + "/pid", "--log-file", "stdout"]
    else:
        command = ["./pion", str(address[1])]
    with open("server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        time.sleep(3)
        end = int(time.time()) + 15
        client = Client(address, f"{end}:agent")
        print(f"{label}, before the end: allocation {client.ask(Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000, LIFETIME=20)}, channel {client.bind(0x4000, peer.getsockname()[1])}, voice {client.heard()}")
        for after in (3, 40):
            time.sleep(max(0, end + after - time.time()))
            print(f"{label}, {after} s after the end: renewal {client.ask(Method.REFRESH, LIFETIME=20)}, channel to another address {client.bind(0x4000 + after, 40000 + after)}, voice {client.heard()},",
                "new allocation", Client(address, client.name).ask(Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000))
        if label == "coturn":
            turnadmin("-X")
            time.sleep(3)
            print(f"{label}, secret deleted: renewal {client.ask(Method.REFRESH, LIFETIME=20)}, channel to another address {client.bind(0x4050, 40050)}, voice {client.heard()},",
                "new allocation with a fresh name", Client(address, f"{int(time.time()) + 600}:agent").ask(Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000))
    finally:
        server.terminate()
        server.wait()
PY
dpkg-deb -f debs/coturn_*.deb Version
(cd server && go list -m github.com/pion/turn/v4)
seen=$(venv/bin/python turn.py)
echo "$seen"
[ "$seen" = "coturn, before the end: allocation taken, channel taken, voice passes
coturn, 3 s after the end: renewal taken, channel to another address taken, voice passes, new allocation refused (401)
coturn, 40 s after the end: renewal taken, channel to another address taken, voice passes, new allocation refused (401)
coturn, secret deleted: renewal taken, channel to another address taken, voice passes, new allocation with a fresh name refused (401)
pion/turn, before the end: allocation taken, channel taken, voice passes
pion/turn, 3 s after the end: renewal refused (400), channel to another address refused (400), voice passes, new allocation refused (400)
pion/turn, 40 s after the end: renewal refused (400), channel to another address unanswered, voice is gone, new allocation refused (400)" ] || changed "credentials end otherwise"
echo "as described"
