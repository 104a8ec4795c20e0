#!/usr/bin/env bash
# Tools: imap-tools 1.16.0, IMAPClient 4.1.0, imbox 0.9.8, easyimap 0.7.0, Python's imaplib, imapflow 2.10.2, imap 0.8.19 (Node.js), Angus Mail 2.0.3 (the reference of Jakarta
#   Mail), Apache Camel's mail 4.14.0 (Java), each on a mailbox of Dovecot 2.3.19 (Debian 12, unpacked; the login is answered by this script, all else by Dovecot, which has
#   UIDPLUS and MOVE). The mailbox has A, B, C and D; a person marked C as deleted, which can be undone until it is expunged. A program reads A, deletes it, or moves it to Done.
# Expected: to read deletes nothing; to delete or move A deletes A.
# Happens: imbox, easyimap, imap and Camel (with `delete=false`, its default) delete C when they only read and end; so do Angus's `folder.close()`, imapflow's `mailboxClose()`,
#   imaplib's `close()` and IMAPClient's `close_folder()` by themselves: IMAP's CLOSE expunges all that is marked. Deleting A with imap-tools, imbox or Angus, with IMAPClient's
#   `expunge()` without arguments and imapflow's by message number takes C along; moving A does in imap-tools and imbox. Right: IMAPClient's `expunge([A])` and `move`,
#   imapflow by UID.
# Hurts: an archiver or a ticket system that may read only destroys mails that somebody could still take back; no log of it has a word of that.
# Instead: open mailboxes for reading only (EXAMINE: `readonly=True`, `READ_ONLY`), where CLOSE expunges nothing; give such programs no right to expunge (the
#   letter `e` of IMAP's ACL); delete by UID with what sends UID EXPUNGE, and end with LOGOUT alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imap-tools==1.16.0 imapclient==4.1.0 imbox==0.9.8 easyimap==0.7.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund imapflow@2.10.2 imap@0.8.19
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>expunge</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.camel</groupId><artifactId>camel-mail</artifactId><version>4.14.0</version></dependency>
    <dependency><groupId>org.apache.camel</groupId><artifactId>camel-core</artifactId><version>4.14.0</version></dependency>
    <dependency><groupId>org.eclipse.angus</groupId><artifactId>angus-mail</artifactId><version>2.0.3</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Mail.java <<'JAVA'
import jakarta.mail.*;
import java.util.Properties;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.impl.DefaultCamelContext;

public class Mail {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        String user = arguments[2];
        if (arguments[0].startsWith("Camel")) {
            DefaultCamelContext context = new DefaultCamelContext();
            java.util.concurrent.CountDownLatch read = new java.util.concurrent.CountDownLatch(1);
            context.addRoutes(new RouteBuilder() {
                public void configure() {
                    from("imap://127.0.0.1:" + port + "?username=" + user + "&password=secret&initialDelay=0").process(exchange -> read.countDown());
                }
            });
            context.start();
            if (!read.await(300, java.util.concurrent.TimeUnit.SECONDS)) System.exit(1);
            context.stop();
            return;
        }
        Store store = Session.getInstance(new Properties()).getStore("imap");
        store.connect("127.0.0.1", port, user, "secret");
        Folder folder = store.getFolder("INBOX");
        folder.open(Folder.READ_WRITE);
        folder.getMessage(1).getContent();
        if (arguments[0].contains("delete")) folder.getMessage(1).setFlag(Flags.Flag.DELETED, true);
        folder.close();
        store.close();
    }
}
JAVA
javac -cp 'jars/*' Mail.java
cat > mail.mjs <<'JS'
import Imap from 'imap';
import { ImapFlow } from 'imapflow';
const [tool, port, user] = process.argv.slice(2);
if (tool.startsWith('imapflow')) {
  const client = new ImapFlow({ host: '127.0.0.1', port: +port, secure: false, doSTARTTLS: false, auth: { user, pass: 'secret' }, logger: false });
  await client.connect();
  const lock = await client.getMailboxLock('INBOX');
  await client.fetchOne('1', { source: true });
  if (tool.endsWith('delete')) await client.messageDelete('1', { uid: true });
  if (tool.endsWith('by number')) await client.messageDelete('1');
  if (tool.endsWith('move')) await client.messageMove('1', 'Done', { uid: true });
  lock.release();
  if (tool.endsWith('close')) await client.mailboxClose();
  await client.logout();
} else {
  const client = new Imap({ host: '127.0.0.1', port: +port, tls: false, user, password: 'secret' });
  client.once('ready', () => client.openBox('INBOX', (error) => {
    if (error) throw error;
    const fetched = client.seq.fetch('1', { bodies: '' });
    fetched.on('message', (message) => message.on('body', (stream) => stream.resume()));
    fetched.once('end', () => client.closeBox(() => client.end()));
  }));
  client.connect();
}
JS
cat > expunge.py <<'PY'
import imaplib, os, socketserver, subprocess, sys, threading

here = os.getcwd()
user, group = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
os.mkdir("home")
os.chown("home", user, group)
with open("dovecot.conf", "w") as file:
    file.write(f"""base_dir = {here}/run
state_dir = {here}/run
mail_location = sdbox:~/mail
mail_plugin_dir = {here}/root/usr/lib/dovecot/modules
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 0
first_valid_gid = 0
protocols =
stats_writer_socket_path =
ssl = no
namespace inbox {{
  inbox = yes
}}
""")

class Login(socketserver.StreamRequestHandler):
    """Answers the login, then hands the connection to Dovecot's imap."""
    def handle(self):
        def say(text):
            self.wfile.write(text.encode() + b"\r\n")
        say("* OK ready")
        while line := self.rfile.readline().decode():
            tag, command, *rest = line.split()
            if command.upper() == "CAPABILITY":
                say("* CAPABILITY IMAP4rev1")
            elif command.upper() == "LOGIN":
                break
            say(tag + " OK done")
        else:
            return
        box = rest[0].strip('"')
        environment = {"USER": box, "HOME": f"{here}/home/{box}", "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": f"{here}/root/usr/lib/dovecot:{here}/root/usr/lib/x86_64-linux-gnu"}
        imap = subprocess.Popen(["root/usr/bin/doveconf", "-c", "dovecot.conf", "-f", "service=imap", "-m", "imap", "-e", here + "/root/usr/lib/dovecot/imap"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        imap.stdout.readline()
        say(tag + " OK logged in")
        def answers():
            while data := imap.stdout.read1():
                try:
                    self.wfile.write(data)
                except OSError:
                    break
        thread = threading.Thread(target=answers)
        thread.start()
        try:
            while data := self.rfile.read1():
                imap.stdin.write(data)
                imap.stdin.flush()
            imap.stdin.close()
        except OSError:
            pass
        imap.wait()
        thread.join()

class Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True

server = Threads(("127.0.0.1", 0), Login)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

def connect(box):
    link = imaplib.IMAP4("127.0.0.1", port)
    link.login(box, "secret")
    return link

def imap_tools(box, what):
    from imap_tools import MailBoxUnencrypted
    with MailBoxUnencrypted("127.0.0.1", port).login(box, "secret") as mails:
        first = next(mails.fetch(mark_seen=False)).uid
        if what == "delete":
            mails.delete(first)
        elif what == "move":
            mails.move(first, "Done")

def imapclient(box, what):
    from imapclient import IMAPClient
    with IMAPClient("127.0.0.1", port=port, ssl=False) as mails:
        mails.login(box, "secret")
        mails.select_folder("INBOX")
        first = mails.search()[0]
        mails.fetch([first], ["BODY.PEEK[]"])
        if what == "delete":
            mails.delete_messages([first])
            mails.expunge([first])
        elif what == "delete and expunge()":
            mails.delete_messages([first])
            mails.expunge()
        elif what == "move":
            mails.move([first], "Done")
        elif what == "close":
            mails.close_folder()

def imbox(box, what):
    from imbox import Imbox
    with Imbox("127.0.0.1", username=box, password="secret", ssl=False, port=port) as mails:
        first, _ = mails.messages()[0]
        if what == "delete":
            mails.delete(first)
        elif what == "move":
            mails.move(first, "Done")

def easyimap(box, what):
    import easyimap
    mails = easyimap.connect("127.0.0.1", box, "secret", port=port, ssl=False)
    mails.mail(mails.listids()[-1])
    mails.quit()

def by_imaplib(box, what):
    link = connect(box)
    link.select("INBOX")
    link.fetch("1", "(BODY.PEEK[])")
    link.close()
    link.logout()

def program(*command):
    return lambda box, what: subprocess.run([*command[:-1], f"{command[-1]} {what}", str(port), box], check=True, timeout=600)

def subjects(box, folder):
    link = connect(box)
    left = ""
    if link.select(folder, readonly=True)[1] != [b"0"]:
        parts = link.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        left = "".join(part[1].decode().split(":")[1].strip() for part in parts if isinstance(part, tuple))
    link.logout()
    return left

java = lambda name: program("java", "-cp", "jars/*:.", "Mail", name)
flow = program("node", "mail.mjs", "imapflow")
for number, (label, act, *ways) in enumerate((
    ("imap-tools", imap_tools, "read", "delete", "move"),
    ("IMAPClient", imapclient, "read", "close", "delete", "delete and expunge()", "move"),
    ("imbox", imbox, "read", "delete", "move"),
    ("easyimap", easyimap, "read"),
    ("imaplib", by_imaplib, "close"),
    ("imap", program("node", "mail.mjs", "imap"), "read"),
    ("imapflow", flow, "read", "close", "delete", "delete by number", "move"),
    ("Angus", java("Angus"), "close", "delete"),
    ("Camel", java("Camel"), "read"),
)):
    told = []
    for way in ways:
        box = f"box{number}{ways.index(way)}"
        link = connect(box)
        link.create("Done")
        for mail in "ABCD":
            link.append("INBOX", None, None, f"From: Erika Muster <erika@example.org>\r\nSubject: {mail}\r\n\r\nHello.\r\n".encode())
        link.select("INBOX")
        link.store("3", "+FLAGS.SILENT", "\\Deleted")
        link.logout()
        act(box, way)
        told.append(f"{way} leaves {subjects(box, 'INBOX')}" + (f" and {subjects(box, 'Done')} in Done" if way == "move" else ""))
    print(f"{label}:", ", ".join(told), flush=True)
PY
echo "Dovecot $(LD_LIBRARY_PATH=root/usr/lib/dovecot root/usr/sbin/dovecot --version | cut -d' ' -f1)"
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -iE 'imap|imbox'
npm ls 2>/dev/null | grep -o 'imap.*@.*'
ls jars | grep -E '^(angus-mail|camel-mail)-[0-9]'
seen=$(venv/bin/python expunge.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "imap-tools: read leaves ABCD, delete leaves BD, move leaves BD and A in Done
IMAPClient: read leaves ABCD, close leaves ABD, delete leaves BCD, delete and expunge() leaves BD, move leaves BCD and A in Done
imbox: read leaves ABD, delete leaves BD, move leaves BD and A in Done
easyimap: read leaves ABD
imaplib: close leaves ABD
imap: read leaves ABD
imapflow: read leaves ABCD, close leaves ABD, delete leaves BCD, delete by number leaves BD, move leaves BCD and A in Done
Angus: close leaves ABD, delete leaves BD
Camel: read leaves ABD" ] || changed "other mails are deleted"
echo "as described"
