#!/usr/bin/env bash
# Tools: servers for HL7 v2 over MLLP: simple-hl7 3.3.0, node-hl7-server 2.5.0, @medplum/hl7 4.5.2 (Node.js), hl7apy 1.3.5, hl7lw 0.1.2 (Python), beside
#   @medplum/hl7 5.0.10 and hl7 0.4.5. Each gets two updates (ADT^A08) for two patients on one connection. Both ask for no acknowledgement (MSH-15 and
#   MSH-16 are NE), so that the sender need not wait between them. What differs is only where TCP cuts the stream.
# Expected: the frame (VT … FS CR) says where a message begins and ends, however TCP cuts it; each message is handed on once.
# Happens: simple-hl7 and @medplum/hl7 4.5.2 look for the end of the frame at the end of what arrived: both messages become one, with two MSH and two PID,
#   of which the first is acknowledged. Cut between FS and CR, @medplum/hl7 keeps the first until the second comes, with the same end. node-hl7-server
#   hands on the first twice, and, cut within the second, a half message without a patient, as a message. hl7apy serves one message
#   of a connection and closes it; hl7lw leaves the second lying until something else comes. The other two are right.
# Hurts: a restriction or a number of the second patient is written to the first or to nobody, and the log of acknowledgements says success. A test that
#   sends one message and waits never shows it: it takes load, TLS or a proxy.
# Instead: count MSH segments in each message that a server hands on, and refuse all but one; compare counts of sent and stored messages; test each server with
#   two messages in one write, and with one message written byte by byte.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir new
(npm init -y && npm install simple-hl7@3.3.0 node-hl7-server@2.5.0 node-hl7-client@3.2.0 @medplum/hl7@4.5.2 @medplum/core@4.5.2
 cd new && npm init -y && npm install @medplum/hl7@5.0.10 @medplum/core@5.0.10) >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hl7==0.4.5 hl7apy==1.3.5 hl7lw==0.1.2
cat > serve.mjs <<'JS'
const [kind, port] = [process.argv[2], +process.argv[3]];
const got = (text) => console.log(JSON.stringify(String(text)));
if (kind === "simple-hl7") {
  const app = (await import("simple-hl7")).default.tcp();
  app.use((req, res, next) => { got(req.msg.toString()); res.end(); next(); });
  app.start(port);
} else if (kind === "node-hl7-server") {
  const { Server } = await import("node-hl7-server");
  new Server().createInbound({ port }, async (req, res) => { got(req.getMessage().toString()); await res.sendResponse("AA"); });
} else {
  const { Hl7Server } = await import("@medplum/hl7");
  await new Hl7Server((link) => link.addEventListener("message", ({ message }) => { got(message.toString()); link.send(message.buildAck()); })).start(port);
}
JS
cp serve.mjs new/
cat > serve.py <<'PY'
import asyncio, json, sys
kind, port = sys.argv[1], int(sys.argv[2])
def got(text):
    print(json.dumps(str(text)), flush=True)
    return "MSH|^~\\&|EHR|HOSPITAL|CALLS|CENTRE|20260228||ACK|1|P|2.5\rMSA|AA|1\r"
if kind == "hl7":
    from hl7.mllp import start_hl7_server
    async def handle(reader, writer):
        while True:
            message = await reader.readmessage()
            got(message)
            writer.writemessage(message.create_ack())
    async def main():
        await (await start_hl7_server(handle, port=port)).serve_forever()
    asyncio.run(main())
elif kind == "hl7apy":
    from hl7apy.mllp import AbstractHandler, MLLPServer
    class Handler(AbstractHandler):
        def reply(self):
            return "\x0b" + got(self.incoming_message) + "\x1c\r"
    MLLPServer("127.0.0.1", port, {"ADT^A08^ADT_A01": (Handler,)}).serve_forever()
else:
    from hl7lw.mllp import MllpServer
    MllpServer(port, lambda message: got(message.decode()).encode()).serve_forever()
PY
cat > send.py <<'PY'
import json, os, re, socket, subprocess, time

def frame(number, name):
    return (f"\x0bMSH|^~\\&|CALLS|CENTRE|EHR|HOSPITAL|20260228120000||ADT^A08^ADT_A01|M{number}|P|2.5|||NE|NE\rEVN|A08|20260228120000\r"
            f"PID|1||{number}^^^H^MR||{name}^Jane\rPV1|1|O\r\x1c\r").encode()
first, second = frame(1, "Example"), frame(2, "Sample")
cuts = {"together": [first + second], "cut between FS and CR": [first[:-1], b"\r", second], "cut in the second": [first + second[:40], second[40:]]}
for name, command in {
    "simple-hl7": ["node", "serve.mjs"], "node-hl7-server": ["node", "serve.mjs"], "@medplum/hl7 4": ["node", "serve.mjs"], "@medplum/hl7 5": ["node", "new/serve.mjs"],
    "hl7apy": ["venv/bin/python", "serve.py"], "hl7lw": ["venv/bin/python", "serve.py"], "hl7": ["venv/bin/python", "serve.py"]}.items():
    for cut, parts in cuts.items():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = free.getsockname()
        with open("log", "w") as log:
            server = subprocess.Popen([*command, name, str(at[1])], stdout=log, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                try:
                    link = socket.create_connection(at)
                    break
                except OSError:
                    time.sleep(0.2)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in parts:
                time.sleep(1)
                link.sendall(part)
            # All that comes: until nothing has come for a while.
            size = -1
            while os.path.getsize("log") != size:
                size = os.path.getsize("log")
                time.sleep(4)
            link.close()
        finally:
            server.kill()
            server.wait()
        with open("log") as log:
            texts = [json.loads(line) for line in log if line.startswith('"')]
        print(f"{name}, {cut}:", " | ".join("+".join(re.findall(r"PID\|1\|\|\d\^\^\^H\^MR\|\|(\w+)", text)) or "no patient" for text in texts))
PY
seen=$(venv/bin/python send.py)
echo "$seen"
[ "$seen" = "simple-hl7, together: Example+Sample
simple-hl7, cut between FS and CR: Example | Sample
simple-hl7, cut in the second: Example+Sample
node-hl7-server, together: Example | Sample
node-hl7-server, cut between FS and CR: Example | Example | Sample
node-hl7-server, cut in the second: Example | no patient | Example | Sample
@medplum/hl7 4, together: Example+Sample
@medplum/hl7 4, cut between FS and CR: Example+Sample
@medplum/hl7 4, cut in the second: Example+Sample
@medplum/hl7 5, together: Example | Sample
@medplum/hl7 5, cut between FS and CR: Example | Sample
@medplum/hl7 5, cut in the second: Example | Sample
hl7apy, together: Example
hl7apy, cut between FS and CR: Example
hl7apy, cut in the second: Example
hl7lw, together: Example
hl7lw, cut between FS and CR: Example | Sample
hl7lw, cut in the second: Example | Sample
hl7, together: Example | Sample
hl7, cut between FS and CR: Example | Sample
hl7, cut in the second: Example | Sample" ] || changed "messages are cut otherwise"
echo "as described"
