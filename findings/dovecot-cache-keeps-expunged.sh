#!/usr/bin/env bash
# Tool: Dovecot 2.3.19 (Debian 12: dovecot-imapd 2.3.19.1+dfsg1-2.1+deb12u7, unpacked, not installed), mail in Maildir and sdbox, one file a mail;
#   an IMAP client that lists sender, subject and preview, as webmail and telephones do.
# Expected: a mail that was expunged is gone: its file is deleted, and neither format keeps mails in common files, as mdbox does until a purge.
# Happens: the file goes, and dovecot.index.cache beside it keeps what clients ever listed: sender, subject and the first words of the body, in
#   clear. An expunge changes nothing there. It outlives later sessions and `doveadm purge`, which is for mdbox; in a small mailbox it
#   outlives even the expunging of all mails. `doveadm mailbox cache purge` removes it.
# Hurts: the mails of one patient are expunged from a shared mailbox, and name, subject and the first sentence stay on the disk and in each backup
#   of it; a search through the mails finds nothing.
# Instead: after an erasure `doveadm mailbox cache purge -u USER MAILBOX`; keep index files on storage of their own (INDEX=) that is not backed up; a
#   search through the bytes of the index files is the test.
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
cat > mail.py <<'PY'
import os, subprocess

here = os.getcwd()
words = (b"Zyxwvut", b"Qwertz", b"diabetes")
user, group = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
os.mkdir("home")
os.chown("home", user, group)
# Settings by environment, as Dovecot's own master process hands them on; no service is started.
base = {"DOVECONF_ENV": "1", "USER": "calls", "HOME": here + "/home", "BASE_DIR": here + "/run", "MAIL_UID": str(user), "MAIL_GID": str(group), "FIRST_VALID_UID": "0",
    "FIRST_VALID_GID": "0", "PROTOCOLS": "", "STATS_WRITER_SOCKET_PATH": "", "MAIL_PLUGIN_DIR": here + "/root/usr/lib/dovecot/modules",
    "LD_LIBRARY_PATH": f"{here}/root/usr/lib/dovecot:{here}/root/usr/lib/x86_64-linux-gnu", "PATH": os.environ["PATH"]}

def run(format, program, *arguments, text=b""):
    done = subprocess.run([f"root/usr/{program}", *arguments], input=text, capture_output=True, cwd=here, timeout=60,
        env={**base, "MAIL_LOCATION": f"{format}:{here}/home/{format}"})
    if done.returncode:
        raise SystemExit(f"{program}: {(done.stdout + done.stderr).decode()}")
    return done.stdout.decode()

def imap(format, *lines):
    answer = run(format, "lib/dovecot/imap", text=b"".join(b"t%d %s\r\n" % (n, line) for n, line in enumerate((*lines, b"LOGOUT"))))
    for n in range(len(lines)):
        if f"t{n} OK" not in answer:
            raise SystemExit(answer)
    return answer

def tell(format, label):
    found = {}
    for folder, _, files in os.walk("home/" + format):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            held = [word.decode() for word in words if word in data]
            if held:
                found[name if name.startswith("dovecot") else "mail"] = held
    print(f"{format}, {label}:", ", ".join(f"{name} ({' '.join(held)})" for name, held in sorted(found.items())) or "nowhere")

for format in ("maildir", "sdbox"):
    mails = []
    for n in range(30):
        sender, subject, text = ("Zyxwvut", "Qwertz", "I have diabetes.") if n == 10 else (f"Person {n}", "bill", "Hello.")
        mail = f"From: {sender} <{n}@example.org>\r\nTo: calls@example.org\r\nSubject: {subject}\r\nMessage-ID: <{n}@example.org>\r\n\r\n{text}\r\n".encode()
        mails.append(b"APPEND INBOX {%d+}\r\n%s" % (len(mail), mail))
    imap(format, *mails)
    list_them = (b"SELECT INBOX", b"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)] PREVIEW)")
    imap(format, *list_them)
    tell(format, "listed")
    imap(format, b"SELECT INBOX", b"UID STORE 11 +FLAGS.SILENT (\\Deleted)", b"EXPUNGE")
    tell(format, "expunged")
    for _ in range(3):
        listed = imap(format, *list_them)
    run(format, "bin/doveadm", "purge")
    print(f"{format}, named to clients: {'Zyxwvut' in listed}")
    tell(format, "after three more sessions and doveadm purge")
    imap(format, b"SELECT INBOX", b"STORE 1:* +FLAGS.SILENT (\\Deleted)", b"EXPUNGE")
    tell(format, "after all others were expunged too")
    run(format, "bin/doveadm", "mailbox", "cache", "purge", "INBOX")
    tell(format, "after doveadm mailbox cache purge")
PY
echo "Dovecot $(LD_LIBRARY_PATH=root/usr/lib/dovecot root/usr/sbin/dovecot --version | cut -d' ' -f1)"
seen=$(python3 mail.py)
echo "$seen"
[ "$seen" = "maildir, listed: dovecot.index.cache (Zyxwvut Qwertz diabetes), mail (Zyxwvut Qwertz diabetes)
maildir, expunged: dovecot.index.cache (Zyxwvut Qwertz diabetes)
maildir, named to clients: False
maildir, after three more sessions and doveadm purge: dovecot.index.cache (Zyxwvut Qwertz diabetes)
maildir, after all others were expunged too: dovecot.index.cache (Zyxwvut Qwertz diabetes)
maildir, after doveadm mailbox cache purge: nowhere
sdbox, listed: dovecot.index.cache (Zyxwvut Qwertz diabetes), mail (Zyxwvut Qwertz diabetes)
sdbox, expunged: dovecot.index.cache (Zyxwvut Qwertz diabetes)
sdbox, named to clients: False
sdbox, after three more sessions and doveadm purge: dovecot.index.cache (Zyxwvut Qwertz diabetes)
sdbox, after all others were expunged too: dovecot.index.cache (Zyxwvut Qwertz diabetes)
sdbox, after doveadm mailbox cache purge: nowhere" ] || changed "words stay elsewhere"
echo "as described"
