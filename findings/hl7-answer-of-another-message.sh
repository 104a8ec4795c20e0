#!/usr/bin/env bash
# Tools: clients for HL7 v2 over MLLP: hl7 0.4.5 (its blocking client and its asyncio one), hl7lw 0.1.2 (Python), @medplum/hl7 5.0.10 (Node.js), HAPI 2.6.0 and
#   Apache Camel's mllp 4.14.0 (Java), each with a limit of 2 s for an answer. Three updates (ADT^A08) are sent on one connection, each after the answer of the one before;
#   the server takes the first and third (AA) and refuses the second (AE): the record is locked.
# Expected: the answer that a client hands back belongs to the message just sent: MSA-2 names it. An answer in two pieces is read whole; one that comes too late is dropped.
# Happens: with answers in two TCP pieces hl7's blocking client hands back the first piece, and after the second message the rest of the first answer: AA. With a first
#   answer that comes after 2.6 s, both clients of hl7 hand it back for the second message: refused, and reported as taken; the
#   third is reported as refused, and so on, one answer behind for good. hl7lw, Medplum, HAPI and Camel are right both times.
# Hurts: a restriction, a new number or a merge that the hospital refused is booked as done, and what was taken is sent again; the log of both sides looks in order.
# Instead: compare MSA-2 with MSH-10 of what was sent and refuse another; close the connection after a time-out and after an answer without its end; test with a
#   server that answers late and in pieces.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

(npm init -y && npm install @medplum/hl7@5.0.10 @medplum/core@5.0.10) >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hl7==0.4.5 hl7lw==0.1.2
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>answer</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>ca.uhn.hapi</groupId><artifactId>hapi-base</artifactId><version>2.6.0</version></dependency>
    <dependency><groupId>ca.uhn.hapi</groupId><artifactId>hapi-structures-v25</artifactId><version>2.6.0</version></dependency>
    <dependency><groupId>org.apache.camel</groupId><artifactId>camel-mllp</artifactId><version>4.14.0</version></dependency>
    <dependency><groupId>org.apache.camel</groupId><artifactId>camel-core</artifactId><version>4.14.0</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Send.java <<'JAVA'
import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.app.Connection;
import ca.uhn.hl7v2.app.TimeoutException;
import ca.uhn.hl7v2.util.Terser;
import ca.uhn.hl7v2.validation.impl.ValidationContextFactory;
import java.util.concurrent.TimeUnit;
import org.apache.camel.Exchange;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.component.mllp.*;
import org.apache.camel.impl.DefaultCamelContext;

public class Send {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        if (arguments[0].equals("HAPI")) {
            DefaultHapiContext context = new DefaultHapiContext();
            context.setValidationContext(ValidationContextFactory.noValidation());
            Connection link = context.newClient("127.0.0.1", port, false);
            link.getInitiator().setTimeout(2, TimeUnit.SECONDS);
            for (int n = 2; n < arguments.length; n++) {
                try {
                    Terser answer = new Terser(link.getInitiator().sendAndReceive(context.getPipeParser().parse(arguments[n])));
                    System.out.println("MSA|" + answer.get("/MSA-1") + "|" + answer.get("/MSA-2"));
                } catch (TimeoutException late) {
                    System.out.println("time-out");
                }
            }
        } else {
            DefaultCamelContext context = new DefaultCamelContext();
            context.start();
            ProducerTemplate template = context.createProducerTemplate();
            for (int n = 2; n < arguments.length; n++) {
                String text = arguments[n];
                Exchange done = template.request("mllp://127.0.0.1:" + port + "?receiveTimeout=2000", exchange -> exchange.getIn().setBody(text));
                Exception error = done.getException();
                if (error instanceof MllpAcknowledgementTimeoutException) System.out.println("time-out");
                else if (error instanceof MllpNegativeAcknowledgementException refused) System.out.println(new String(refused.getHl7AcknowledgementBytes()).replace('\r', ' '));
                else System.out.println(done.getMessage().getHeader("CamelMllpAcknowledgementString").toString().replace('\r', ' '));
            }
        }
        System.exit(0);
    }
}
JAVA
cat > send.mjs <<'JS'
import { Hl7Message } from '@medplum/core';
import { Hl7Client } from '@medplum/hl7';
const [port, ...texts] = process.argv.slice(2);
const client = new Hl7Client({ host: '127.0.0.1', port: +port, keepAlive: true });
for (const text of texts) {
  try {
    console.log((await client.sendAndWait(Hl7Message.parse(text), { timeoutMs: 2000 })).toString().replaceAll('\r', ' '));
  } catch (error) {
    if (!/timed out/.test(error)) throw error;
    console.log('time-out');
  }
}
process.exit();
JS
cat > send.py <<'PY'
import asyncio, re, socketserver, subprocess, threading, time
import hl7, hl7lw
from hl7.client import MLLPClient
from hl7.mllp import open_hl7_connection

texts = [f"MSH|^~\\&|CALLS|CENTRE|EHR|HOSPITAL|20260228120000||ADT^A08^ADT_A01|M{n}|P|2.5\rEVN|A08|20260228120000\rPID|1||{n}^^^H^MR||Example^Jane\rPV1|1|O\r" for n in (1, 2, 3)]
way = None

class Hospital(socketserver.BaseRequestHandler):
    def handle(self):
        buffer = b""
        while data := self.request.recv(5000):
            buffer += data
            while b"\x1c\r" in buffer:
                frame, buffer = buffer.split(b"\x1c\r", 1)
                number = re.search(rb"\|(M\d)\|", frame)[1].decode()
                code = "AE" if number == "M2" else "AA"
                answer = f"\x0bMSH|^~\\&|EHR|HOSPITAL|CALLS|CENTRE|20260228120000||ACK^A08^ACK|A{number}|P|2.5\rMSA|{code}|{number}\r\x1c\r".encode()
                try:
                    if way == "in two pieces":
                        self.request.sendall(answer[:40])
                        time.sleep(0.3)
                        self.request.sendall(answer[40:])
                    else:
                        time.sleep(2.6 if way == "first one late" and number == "M1" else 0.3)
                        self.request.sendall(answer)
                except OSError:
                    return

class Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True

server = Threads(("127.0.0.1", 0), Hospital)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

def blocking():
    with MLLPClient("127.0.0.1", port) as link:
        link.socket.settimeout(2)
        for text in texts:
            try:
                yield link.send_message(text).decode()
            except TimeoutError:
                yield "time-out"

def by_asyncio():
    async def send():
        reader, writer = await open_hl7_connection("127.0.0.1", port)
        answers = []
        for text in texts:
            writer.writemessage(hl7.parse(text))
            await writer.drain()
            try:
                answers.append(str(await asyncio.wait_for(reader.readmessage(), 2)))
            except asyncio.TimeoutError:
                answers.append("time-out")
        writer.close()
        return answers
    return asyncio.run(send())

def by_hl7lw():
    link = hl7lw.MllpClient()
    link.connect(host="127.0.0.1", port=port)
    for text in texts:
        try:
            link.send(text.encode())
            link.socket.settimeout(2)
            yield link.recv().decode()
        except hl7lw.exceptions.MllpConnectionError:
            yield "time-out"

def program(*command):
    return lambda: subprocess.run([*command, str(port), *texts], check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout.strip().split("\n")

def told(answer):
    found = re.search(r"MSA\|(..)\|(M\d)", answer)
    return f"{found[1]} for {found[2]}" if found else answer if answer == "time-out" else "a piece"

for way in ("whole", "in two pieces", "first one late"):
    for name, send in (("hl7 blocking", blocking), ("hl7 asyncio", by_asyncio), ("hl7lw", by_hl7lw), ("@medplum/hl7", program("node", "send.mjs")),
        ("HAPI", program("java", "-cp", "jars/*", "Send.java", "HAPI")), ("Camel", program("java", "-cp", "jars/*", "Send.java", "Camel"))):
        print(f"answers {way}, {name}:", ", ".join(f"M{number} {told(answer)}" for number, answer in enumerate(send(), 1)), flush=True)
PY
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -i hl7
npm ls 2>/dev/null | grep -o '@medplum/hl7@.*'
ls jars | grep -E '^(hapi-base|camel-mllp)-'
seen=$(venv/bin/python send.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
right="M1 AA for M1, M2 AE for M2, M3 AA for M3"
late="M1 time-out, M2 AE for M2, M3 AA for M3"
expected=""
for name in "hl7 blocking" "hl7 asyncio" hl7lw @medplum/hl7 HAPI Camel; do expected+="answers whole, $name: $right"$'\n'; done
expected+="answers in two pieces, hl7 blocking: M1 a piece, M2 AA for M1, M3 a piece"$'\n'
for name in "hl7 asyncio" hl7lw @medplum/hl7 HAPI Camel; do expected+="answers in two pieces, $name: $right"$'\n'; done
expected+="answers first one late, hl7 blocking: M1 time-out, M2 AA for M1, M3 AE for M2"$'\n'
expected+="answers first one late, hl7 asyncio: M1 time-out, M2 AA for M1, M3 AE for M2"
for name in hl7lw @medplum/hl7 HAPI Camel; do expected+=$'\n'"answers first one late, $name: $late"; done
[ "$seen" = "$expected" ] || changed "answers are handed back otherwise"
echo "as described"
