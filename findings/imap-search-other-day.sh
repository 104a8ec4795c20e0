#!/usr/bin/env bash
# Tools: imapflow 2.10.2, imap 0.8.19 (Node.js), IMAPClient 4.1.0, imap-tools 1.16.0 (Python), Angus Mail 2.0.3 (Java, the reference of Jakarta Mail): a search
#   for the mails that came before a moment, as a job that deletes after a period sends it; the server only writes down what it is asked.
# Expected: one moment asks for the same mails from each, wherever the program runs, and for none that came after it.
# Happens: IMAP knows days only, and each library makes a day of a moment in its own way. imapflow goes by UTC and takes the next day, if it is
#   not midnight there: it asks for mails of up to 24 hours after the moment. imap and Angus go by the program's zone (TZ) and IMAPClient by
#   the zone inside of the value, and drop the time of day; imap-tools takes days only. So midnight of New York asks for one day more by
#   imapflow than by the others, and midnight UTC for one day less by imap and Angus, if they run in New York. Angus's "less or equal" asks
#   for the whole day, whereas the same term goes by the second in its match(). No warning in any.
# Hurts: what is deleted "before now minus 30 days" may be a day too young; two jobs, one that copies what came since a moment and one
#   that deletes what came before it, leave a gap of a day in which mails are deleted uncopied; a changed TZ moves all.
# Instead: take the search as a first choice only: fetch INTERNALDATE of what it found and compare the moment in the program before
#   deleting; set TZ=UTC for such jobs and give moments at midnight UTC.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imapclient==4.1.0 imap-tools==1.16.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund imapflow@2.10.2 imap@0.8.19
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>search</artifactId><version>1</version>
  <dependencies><dependency><groupId>org.eclipse.angus</groupId><artifactId>angus-mail</artifactId><version>2.0.3</version></dependency></dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Search.java <<'JAVA'
import jakarta.mail.*;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.search.*;
import java.time.Instant;
import java.util.*;

public class Search {
    public static void main(String[] arguments) throws Exception {
        Session session = Session.getInstance(new Properties());
        Store store = session.getStore("imap");
        store.connect("127.0.0.1", Integer.parseInt(arguments[0]), "calls", "secret");
        Folder folder = store.getFolder("INBOX");
        folder.open(Folder.READ_ONLY);
        Date moment = Date.from(Instant.parse(arguments[1]));
        folder.search(new ReceivedDateTerm(arguments.length > 2 ? ComparisonTerm.LE : ComparisonTerm.LT, moment));
        store.close();
        if (arguments.length > 2) {
            Message later = new MimeMessage(session) {
                @Override public Date getReceivedDate() { return new Date(moment.getTime() + 3_600_000); }
            };
            System.out.println("its match() of a mail one hour later: " + later.match(new ReceivedDateTerm(ComparisonTerm.LE, moment)));
        }
    }
}
JAVA
cat > search.mjs <<'JS'
import Imap from 'imap';
import { ImapFlow } from 'imapflow';
const [tool, port, text] = process.argv.slice(2);
const moment = new Date(text);
if (tool === 'imapflow') {
  const client = new ImapFlow({ host: '127.0.0.1', port: +port, secure: false, doSTARTTLS: false, auth: { user: 'calls', pass: 'secret' }, logger: false });
  await client.connect();
  const lock = await client.getMailboxLock('INBOX');
  await client.search({ before: moment });
  lock.release();
  await client.logout();
} else {
  const client = new Imap({ host: '127.0.0.1', port: +port, tls: false, user: 'calls', password: 'secret' });
  client.once('ready', () => client.openBox('INBOX', true, () => client.search([['BEFORE', moment]], () => client.end())));
  client.connect();
}
JS
cat > search.py <<'PY'
import os, re, socketserver, subprocess, sys, threading
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

asked = []

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        def say(*lines):
            self.wfile.write("".join(line + "\r\n" for line in lines).encode())
        say("* OK [CAPABILITY IMAP4rev1] ready")
        while line := self.rfile.readline().decode():
            tag, command, *_ = line.split()
            if command == "CAPABILITY":
                say("* CAPABILITY IMAP4rev1")
            elif command in ("SELECT", "EXAMINE"):
                say("* 3 EXISTS", "* 0 RECENT", "* OK [UIDVALIDITY 1] ok", "* OK [UIDNEXT 4] ok", "* FLAGS (\\Seen)")
            elif command in ("LIST", "LSUB"):
                say(f'* {command} () "/" INBOX')
            elif "SEARCH" in line:
                asked.append(re.search(r"SEARCH (?:CHARSET US-ASCII )?\(?(.*?)\)?(?: ALL)?$", line.strip())[1])
                say("* SEARCH")
            elif command == "LOGOUT":
                say("* BYE bye", tag + " OK done")
                return
            say(tag + " OK done")

class Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True

server = Threads(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = str(server.server_address[1])
java = ["java", "-cp", "jars/*", "Search.java", port]
by_imapclient = """import sys, datetime, imapclient
client = imapclient.IMAPClient("127.0.0.1", port=int(sys.argv[1]), ssl=False)
client.login("calls", "secret"); client.select_folder("INBOX", readonly=True); client.search(["BEFORE", datetime.datetime.fromisoformat(sys.argv[2])]); client.logout()"""
by_imap_tools = """import sys, datetime, imap_tools
with imap_tools.MailBoxUnencrypted("127.0.0.1", int(sys.argv[1])).login("calls", "secret") as box:
    box.uids(imap_tools.AND(date_lt=datetime.datetime.fromisoformat(sys.argv[2]).date()))"""

def ask(zone, *command):
    asked.clear()
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env={**os.environ, "TZ": zone}).stdout.strip()
    return re.sub(r"\b0(\d-)", r"\1", asked[0]) + (f", {said}" if said else "")

for label, hour in (("00:00 UTC", 0), ("12:00 UTC", 12), ("00:00 of the program's zone", 0)):
    for zone in ("America/New_York", "Asia/Tokyo"):
        moment = datetime(2026, 1, 1, hour, tzinfo=timezone.utc if label.endswith("UTC") else ZoneInfo(zone))
        utc, plain = moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), moment.isoformat()
        answers = {name: ask(zone, "node", "search.mjs", name, port, utc) for name in ("imapflow", "imap")}
        answers["IMAPClient"] = ask(zone, sys.executable, "-c", by_imapclient, port, plain)
        answers["imap-tools"] = ask(zone, sys.executable, "-c", by_imap_tools, port, plain)
        answers["Angus"] = ask(zone, *java, utc)
        print(f"{label}, in {zone}:", ", ".join(f"{name} {answer.removeprefix('BEFORE ')}" for name, answer in answers.items()))
print("Angus, less or equal, in UTC:", ask("UTC", *java, "2026-01-01T00:00:00Z", "or equal"))
PY
npm ls 2>/dev/null | grep -o 'imap.*@.*'
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -i imap
ls jars | grep '^angus-mail'
seen=$(venv/bin/python search.py)
echo "$seen"
rest="IMAPClient 1-Jan-2026, imap-tools 1-Jan-2026, Angus"
[ "$seen" = "00:00 UTC, in America/New_York: imapflow 1-Jan-2026, imap 31-Dec-2025, $rest 31-Dec-2025
00:00 UTC, in Asia/Tokyo: imapflow 1-Jan-2026, imap 1-Jan-2026, $rest 1-Jan-2026
12:00 UTC, in America/New_York: imapflow 2-Jan-2026, imap 1-Jan-2026, $rest 1-Jan-2026
12:00 UTC, in Asia/Tokyo: imapflow 2-Jan-2026, imap 1-Jan-2026, $rest 1-Jan-2026
00:00 of the program's zone, in America/New_York: imapflow 2-Jan-2026, imap 1-Jan-2026, $rest 1-Jan-2026
00:00 of the program's zone, in Asia/Tokyo: imapflow 1-Jan-2026, imap 1-Jan-2026, $rest 1-Jan-2026
Angus, less or equal, in UTC: OR BEFORE 1-Jan-2026 ON 1-Jan-2026, its match() of a mail one hour later: false" ] || changed "other days are asked for"
echo "as described"
