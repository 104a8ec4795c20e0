#!/usr/bin/env bash
# Tool: Cyrus IMAP 3.6.1 (Debian 12: cyrus-imapd 3.6.1-4+deb12u5 with its libraries, unpacked, not installed), cyr_expire and the annotation
#   `/vendor/cmu/cyrus-imapd/expire`, by which a mailbox is kept for a number of days.
# Expected: a mail goes 30 days after it arrived (its INTERNALDATE), whatever its sender wrote; folders below inherit the period, as the manual says
#   ("inherited by all children of the mailbox on which it is set").
# Happens: the age is counted from the Date header. A mail that came today from a device whose clock says 2006 is gone after the first night; one that
#   came 100 days ago with a Date of today or of 2033 stays, the latter for years. Only where Date is missing or cannot be read does the arrival count.
#   A folder below keeps everything: nothing is inherited. The log says "older than 30.00 days" as on any day.
# Hurts: voicemail and fax by mail, whose senders are devices with wrong clocks: kept past the period, or deleted on the day that they came;
#   old mails that were moved here for a check go at once; folders of a mailbox that has a period have none.
# Instead: set the annotation on each folder, and count by `cyr_expire -v` that all are named; have the mail gateway refuse or rewrite a Date more than
#   a day off (keep what it was in another header); ask with `UID SEARCH BEFORE` (arrival) afterwards whether anything is left that should not be.
#   Newer versions have the setting `expire_by_savedate`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    cyrus-imapd=3.6.1-4+deb12u5 sasl2-bin >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
dpkg-deb -f debs/cyrus-imapd_*.deb Version
cat > expire.py <<'PY'
import imaplib, os, pwd, re, socket, subprocess, time
from email.utils import formatdate

here = os.getcwd()
programs, libraries = here + "/root/usr/lib/cyrus/bin/", here + "/root/usr/lib/x86_64-linux-gnu"
os.environ["LD_LIBRARY_PATH"] = f"{libraries}:{libraries}/cyrus:{here}/root/lib/x86_64-linux-gnu"
os.environ["TZ"] = "UTC"
user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with open("imapd.conf", "w") as file:
    file.write(f"""configdirectory: {here}/conf
proc_path: {here}/proc
mboxname_lockpath: {here}/lock
sievedir: {here}/sieve
defaultpartition: default
partition-default: {here}/mail
servername: mail.example.org
altnamespace: no
unixhierarchysep: no
cyrus_user: {user}
admins: cyrus
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_mech_list: PLAIN
sasl_sasldb_path: {here}/passwords
""")
with open("cyrus.conf", "w") as file:
    file.write(f"""START {{
}}
SERVICES {{
  imap cmd="{programs}imapd -C {here}/imapd.conf" listen="127.0.0.1:{port}" prefork=0
}}
EVENTS {{
}}
""")
for folder in ("conf/db", "conf/socket", "conf/proc", "conf/log", "conf/msg", "conf/user", "conf/quota", "mail", "lock", "proc", "sieve"):
    os.makedirs(folder)
for name in ("cyrus", "erika"):
    subprocess.run(["root/usr/sbin/saslpasswd2", "-p", "-c", "-f", here + "/passwords", "-u", "mail.example.org", name], input=b"secret\n", check=True)
if os.getuid() == 0:
    for folder in ("conf", "mail", "lock", "proc", "sieve", "passwords"):
        subprocess.run(["chown", "-R", user, folder], check=True)
with open("master.log", "w") as log:
    master = subprocess.Popen([programs + "master", "-C", here + "/imapd.conf", "-M", here + "/cyrus.conf", "-p", here + "/pid"], stdout=log, stderr=log)

def login(name):
    for _ in range(50):
        try:
            client = imaplib.IMAP4("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise SystemExit("Cyrus does not answer")
    assert client.login(name, "secret")[0] == "OK"
    return client

def count():
    return sum(bool(re.fullmatch(r"\d+\.", name)) for _, _, names in os.walk("mail") for name in names)

try:
    imaplib.Commands["SETMETADATA"] = ("AUTH",)
    admin = login("cyrus")
    for box in ("user.erika", "user.erika.calls"):
        assert admin.create(box)[0] == "OK"
    assert admin._simple_command("SETMETADATA", "user.erika", '(/shared/vendor/cmu/cyrus-imapd/expire "30")')[0] == "OK"
    client = login("erika")
    now, ago = time.time(), time.time() - 100 * 86400
    mails = [("now, Date of now", now, formatdate(now)), ("100 days ago, Date of then", ago, formatdate(ago)),
        ("now, Date of 2006", now, "Sun, 01 Jan 2006 00:00:10 +0000"), ("now, Date of 100 days ago", now, formatdate(ago)),
        ("100 days ago, Date of now", ago, formatdate(now)), ("100 days ago, Date of 2033", ago, "Mon, 03 Jan 2033 00:00:10 +0000"),
        ("100 days ago, no Date", ago, None), ("now, no Date", now, None)]
    boxes = {"INBOX": "the mailbox", "INBOX.calls": "its folder"}
    for box in boxes:
        for name, arrived, date in mails:
            mail = f"From: voicemail@example.org\r\nSubject: {name}\r\n" + (f"Date: {date}\r\n" if date else "") + "\r\nYou have a new message.\r\n"
            assert client.append(box, None, imaplib.Time2Internaldate(arrived), mail.encode())[0] == "OK"
    done = subprocess.run([programs + "cyr_expire", "-C", here + "/imapd.conf", "-E", "1", "-v"], capture_output=True, text=True, check=True)
    print(*re.findall(r"expiring messages.*", done.stderr), sep="\n")
    for box, title in boxes.items():
        client.select(box, readonly=True)
        for name, _, _ in mails:
            found = client.search(None, "SUBJECT", f'"{name}"')[1][0]
            print(f"{title}, arrived {name}: {'kept' if found else 'gone'}")
    print("files:", count())
    subprocess.run([programs + "cyr_expire", "-C", here + "/imapd.conf", "-E", "1", "-X", "0"], check=True)
    print("files after -X 0:", count())
finally:
    master.terminate()
    master.wait()
PY
seen=$(python3 expire.py)
echo "$seen"
[ "$seen" = 'expiring messages in user.erika older than 30.00 days
the mailbox, arrived now, Date of now: kept
the mailbox, arrived 100 days ago, Date of then: gone
the mailbox, arrived now, Date of 2006: gone
the mailbox, arrived now, Date of 100 days ago: gone
the mailbox, arrived 100 days ago, Date of now: kept
the mailbox, arrived 100 days ago, Date of 2033: kept
the mailbox, arrived 100 days ago, no Date: gone
the mailbox, arrived now, no Date: kept
its folder, arrived now, Date of now: kept
its folder, arrived 100 days ago, Date of then: kept
its folder, arrived now, Date of 2006: kept
its folder, arrived now, Date of 100 days ago: kept
its folder, arrived 100 days ago, Date of now: kept
its folder, arrived 100 days ago, Date of 2033: kept
its folder, arrived 100 days ago, no Date: kept
its folder, arrived now, no Date: kept
files: 16
files after -X 0: 12' ] || changed "other mails are kept"
echo "as described"
