#!/usr/bin/env bash
# Tool: Dovecot 2.3.19 (Debian 12: dovecot-imapd 2.3.19.1+dfsg1-2.1+deb12u7, unpacked, not installed), `autoexpunge` of a mailbox, which deletes what was
#   saved there longer ago than the period; in Maildir and in sdbox.
# Expected: a mail goes when the period since its arrival is over, in any format; to read or flag it, or another one, changes nothing.
# Happens: in Maildir the time of saving is the file's change time, unless it is in the cache; and each change of a flag renames
#   the file, which makes it now. Besides, the deletion stops at the first mail that is not old enough: one mail flagged late holds back
#   all that came after it. Only the first mail in the row has its time cached. In sdbox all go in time. `doveadm expunge savedbefore …`
#   counts the same way.
# Hurts: with autoexpunge = 30d a mailbox in which somebody marks one old mail as read keeps it and all newer ones for up to 30 days
#   more; copying the mails to another disk or restoring them starts the period anew for all.
# Instead: take sdbox or mdbox for mailboxes with a period; or expunge by the time of arrival (`doveadm expunge … before 30d`), which in Maildir is
#   the file's modification time and stays; or look daily for mails older than the period.
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
cat > expire.py <<'PY'
import os, subprocess, time

here = os.getcwd()
user, group = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
os.mkdir("home")
os.chown("home", user, group)
environment = {"USER": "calls", "HOME": here + "/home", "PATH": os.environ["PATH"],
    "LD_LIBRARY_PATH": f"{here}/root/usr/lib/dovecot:{here}/root/usr/lib/x86_64-linux-gnu"}
period = 12

def settings(format):
    with open(format + ".conf", "w") as file:
        file.write(f"""base_dir = {here}/run
state_dir = {here}/run
mail_location = {format}:{here}/home/{format}
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
  mailbox INBOX {{
    autoexpunge = {period}s
  }}
}}
""")

def imap(format, *lines):
    # doveconf reads the settings and starts the program with them; no service is started. The mailbox expires at the end of the session.
    done = subprocess.run(["root/usr/bin/doveconf", "-c", format + ".conf", "-f", "service=imap", "-m", "imap", "-e", here + "/root/usr/lib/dovecot/imap"],
        env=environment, capture_output=True, timeout=60, input=b"".join(b"t%d %s\r\n" % (n, line) for n, line in enumerate((*lines, b"LOGOUT"))))
    answer = done.stdout.decode()
    for n in range(len(lines)):
        if f"t{n} OK" not in answer:
            raise SystemExit(answer + done.stderr.decode())

def left(format):
    places = {"maildir": ("cur/", "new/"), "sdbox": ("u.",)}[format]
    return sum(place in os.path.join(folder, name) for folder, _, names in os.walk("home/" + format) for name in names for place in places)

formats = ("maildir", "sdbox")
start = time.time()
for format in formats:
    settings(format)
    mails = []
    for n in range(6):
        mail = b"From: Erika Muster <erika@example.org>\r\nSubject: complaint %d\r\n\r\nHello.\r\n" % n
        mails.append(b"APPEND INBOX {%d+}\r\n%s" % (len(mail), mail))
    imap(format, *mails)
    imap(format, b"SELECT INBOX")
for after, label, lines in (
    (8, "second mail marked as read after two thirds of the period", (b"SELECT INBOX", b"STORE 2 +FLAGS.SILENT (\\Seen)")),
    (15, "after the period and a quarter", (b"NOOP",)),
    (18, "after the period and a half", (b"NOOP",)),
    (24, "after two periods", (b"NOOP",)),
):
    time.sleep(max(0, start + after - time.time()))
    for format in formats:
        imap(format, *lines)
    print(f"{label}:", ", ".join(f"{format} {left(format)} of 6" for format in formats))
PY
echo "Dovecot $(LD_LIBRARY_PATH=root/usr/lib/dovecot root/usr/sbin/dovecot --version | cut -d' ' -f1)"
seen=$(python3 expire.py)
echo "$seen"
[ "$seen" = "second mail marked as read after two thirds of the period: maildir 6 of 6, sdbox 6 of 6
after the period and a quarter: maildir 5 of 6, sdbox 0 of 6
after the period and a half: maildir 5 of 6, sdbox 0 of 6
after two periods: maildir 0 of 6, sdbox 0 of 6" ] || changed "mails expire at other times"
echo "as described"
