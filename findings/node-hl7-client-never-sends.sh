#!/usr/bin/env bash
# Tool: node-hl7-client 4.0.0 (Node.js), a client for HL7 v2 over MLLP, with its defaults (`waitAck` is on); beside it node-hl7-client 3.2.0. Five updates are handed over, one a
#   second, on one connection; the server takes 2.5 s for the first and answers the others at once.
# Expected: `await sendMessage()` of a message that has to wait sends it when the answer of the one before is there: five messages reach the server, in order.
# Happens: the second and third are put into a queue in memory, and the call ends well. The queue is looked at when a connection is made, and not when an answer comes: the
#   fourth and fifth are sent, past them. With the end of the program they are gone; if the connection is made anew hours later they go out then, after newer ones.
#   Nothing is said: no error, no event but `client.pending`.
# Hurts: a withdrawn consent or a changed number is handed over without error and never arrives, or overwrites a newer one; it takes a server that is
#   slow once, so that no test shows it.
# Instead: keep each message in a store of your own until its answer (MSA-2) has come; hand over the next one after that only; alert on `client.pending` above 0 and on
#   `client.sent` falling behind; count messages at both ends.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir three
(npm init -y && npm install node-hl7-client@4.0.0
 cd three && npm init -y && npm install node-hl7-client@3.2.0) >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
cat > send.mjs <<'JS'
import net from 'node:net';
import { Client, Message } from 'node-hl7-client';
const start = Date.now();
const got = [];
let made = 0;
const hospital = net.createServer((link) => {
  let buffer = '';
  made++;
  link.on('error', () => {});
  link.on('data', async (data) => {
    buffer += data;
    for (let end; (end = buffer.indexOf('\x1c\r')) >= 0;) {
      const number = /\|(M\d)\|/.exec(buffer.slice(0, end))[1];
      buffer = buffer.slice(end + 2);
      got.push(number);
      if (number === 'M1') await new Promise((done) => setTimeout(done, 2500));
      link.write(`\x0bMSH|^~\\&|EHR|HOSPITAL|CALLS|CENTRE|20260228120000||ACK^A08^ACK|A${number}|P|2.5\rMSA|AA|${number}\r\x1c\r`);
    }
  });
});
await new Promise((done) => hospital.listen(0, '127.0.0.1', done));
const client = new Client({ host: '127.0.0.1', version: '2.5' });
const answered = [];
const link = client.createConnection({ port: hospital.address().port, version: '2.5' }, async (answer) => { answered.push(answer.getMessage().get('MSA.2').toString()); });
const ended = [];
for (const number of [1, 2, 3, 4, 5]) {
  const text = `MSH|^~\\&|CALLS|CENTRE|EHR|HOSPITAL|20260228120000||ADT^A08^ADT_A01|M${number}|P|2.5\rEVN|A08|20260228120000\rPID|1||${number}^^^H^MR||Example^Jane\rPV1|1|O`;
  await link.sendMessage(new Message({ text }));
  ended.push(`M${number}`);
  await new Promise((done) => setTimeout(done, 1000));
}
await new Promise((done) => setTimeout(done, 10_000));
console.log(`sendMessage ended without error for ${ended}; the server got ${got}; answered ${answered}; still pending ${link.stats.pending}`);
process.exit();
JS
cp send.mjs three/
for folder in . three; do (cd "$folder"; npm ls 2>/dev/null | grep -o 'node-hl7-client@.*'); done
seen=$(for folder in . three; do node "$folder/send.mjs"; done)
echo "$seen"
line="sendMessage ended without error for M1,M2,M3,M4,M5; the server got M1,M4,M5; answered M1,M4,M5; still pending 2"
[ "$seen" = "$line
$line" ] || changed "other messages are sent"
echo "as described"
