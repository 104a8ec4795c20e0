#!/usr/bin/env bash
# Tools: libsrtp as shipped in pylibsrtp 1.0.0 (Python), beside pion/srtp v3.1.3 (Go).
# Expected: who has a call's SRTP key can open its packets, from whatever packet it starts with.
# Happens: the RTP sequence number has 16 bits, and how often it has wrapped (the rollover counter) is part of every packet's key
#   stream and is sent nowhere. Calls wrap after at most 22 minutes (20 ms a packet), often much sooner, as they begin at a
#   random number. A receiver that starts after the first wrap opens nothing, for the rest of the call: "authentication failure".
#   pylibsrtp has no call to state the counter; pion/srtp opens the same packets as soon as SetROC was called with the right one.
# Hurts: a recorder whose pod is restarted or moved records nothing of the calls that are under way, although it got the right keys back;
#   the error looks as if the key were wrong, and a key rotation is blamed.
# Instead: keep the counter (SSRC, rollover counter) beside the key when a recorder hands over, or have the call re-keyed; count
#   authentication failures by stream and start of the stream.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pylibsrtp==1.0.0
cat > call.py <<'PY'
import struct
from importlib.metadata import version
from pylibsrtp import Error, Policy, Session

key = bytes(range(30))
sender = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
receivers = {start: Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND)) for start in (0, 500, 1500)}
opened = dict.fromkeys(receivers, 0)
errors = set()
with open("late.bin", "wb") as late:
    for n in range(3000):  # begins at 64536: the sequence number wraps after 1000 packets
        packet = struct.pack(">BBHII", 0x80, 0, (64536 + n) & 0xFFFF, n * 160, 0x1234) + bytes(160)
        packet = sender.protect(packet)
        if n >= 1500:
            late.write(struct.pack(">H", len(packet)) + packet)
        for start, receiver in receivers.items():
            if n >= start:
                try:
                    receiver.unprotect(packet)
                    opened[start] += 1
                except Error as error:
                    errors.add(str(error))
print("pylibsrtp", version("pylibsrtp"))
for start, count in opened.items():
    print(f"receiver from packet {start} on: opened {count} of {3000 - start}")
print("errors:", *errors)
print("a call to set the counter:", any("roc" in name or "roll" in name for name in dir(Session) + dir(Policy) if not name.startswith("_")))
PY
mkdir pion
cat > pion/main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/pion/srtp/v3"
)

func main() {
	key := make([]byte, 30)
	for i := range key {
		key[i] = byte(i)
	}
	all, err := os.ReadFile("../late.bin")
	if err != nil {
		panic(err)
	}
	for _, counter := range []uint32{0, 1} {
		context, err := srtp.CreateContext(key[:16], key[16:], srtp.ProtectionProfileAes128CmHmacSha1_80)
		if err != nil {
			panic(err)
		}
		context.SetROC(0x1234, counter)
		opened, count := 0, 0
		for rest := all; len(rest) > 0; count++ {
			size := int(binary.BigEndian.Uint16(rest))
			if _, err := context.DecryptRTP(nil, rest[2:2+size], nil); err == nil {
				opened++
			}
			rest = rest[2+size:]
		}
		fmt.Printf("pion/srtp, counter %d: opened %d of %d late packets\n", counter, opened, count)
	}
}
GO
seen=$(venv/bin/python call.py)
echo "$seen"
(cd pion && go mod init late && go get github.com/pion/srtp/v3@v3.1.3 && go mod tidy && go build -o ../late .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
pion=$(cd pion && ../late)
echo "$pion"
[ "$seen" = "pylibsrtp 1.0.0
receiver from packet 0 on: opened 3000 of 3000
receiver from packet 500 on: opened 2500 of 2500
receiver from packet 1500 on: opened 0 of 1500
errors: authentication failure
a call to set the counter: False" ] || changed "pylibsrtp behaves otherwise"
[ "$pion" = "pion/srtp, counter 0: opened 0 of 1500 late packets
pion/srtp, counter 1: opened 1500 of 1500 late packets" ] || changed "pion/srtp behaves otherwise"
echo "as described"
