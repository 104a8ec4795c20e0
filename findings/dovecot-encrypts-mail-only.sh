#!/usr/bin/env bash
# Tool: Dovecot 2.3.19 (Debian 12: dovecot-imapd 2.3.19.1+dfsg1-2.1+deb12u7, dovecot-fts-xapian 1.5.5-1+b2, unpacked, not installed) with mail_crypt,
#   the plugin that encrypts mails at rest, by a global key pair; an IMAP client that lists sender, subject and preview.
# Expected: with mail_crypt a copy of the mail storage (a disk, a backup) tells nothing without the private key.
# Happens: the files of the mails are encrypted, and no other: sender, subject and the first words of a body are in clear in dovecot.index.cache
#   as soon as a client has listed them; with full-text search sender and subject are in the index as words; with mail_attachment_dir the
#   attachments are files of their own, whole, decoded and readable. No warning names any of them.
# Hurts: faxes and voicemails that come as attachments, and who wrote about what, lie in the clear beside encrypted mails, and go
#   into backups that count as encrypted; destroying the key destroys none of them.
# Instead: no mail_attachment_dir, or mail_attachment_fs = crypt set_prefix=mail_crypt_global:posix: (tried here); indexes (INDEX=) on a disk that is encrypted
#   itself and not backed up; a search for known words through all files as the test.
set -euo pipefail
work=$(mktemp -d)
# The folder of Dovecot's modules is compiled in: a name of the same length is put there.
link=/tmp/dc$(tr -dc a-z </dev/urandom | head -c 9 || true)
trap 'rm -rf "$work" "$link"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7 dovecot-fts-xapian=1.5.5-1+b2 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
ln -s "$work/root/usr/lib/dovecot" "$link"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private.pem 2>/dev/null
openssl pkey -in private.pem -pubout -out public.pem
cat > mail.py <<'PY'
import base64, grp, os, pwd, subprocess, sys

here, link = os.getcwd(), sys.argv[1]
library = here + "/root/usr/lib/dovecot"
with open(library + "/libdovecot.so.0.0.0", "rb") as file:
    code = file.read()
assert code.count(b"\0/usr/lib/dovecot") == 2
with open(library + "/libdovecot.so.0.0.0", "wb") as file:
    file.write(code.replace(b"\0/usr/lib/dovecot", b"\0" + link.encode()))
user, group = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
os.mkdir("home")
os.chown("home", user, group)
environment = {"PATH": os.environ["PATH"], "USER": "calls", "HOME": here + "/home",
    "LD_LIBRARY_PATH": f"{library}:{library}/modules:{here}/root/usr/lib/x86_64-linux-gnu"}

def configure(format, plugins, more=""):
    with open("conf", "w") as file:
        file.write(f"""protocols =
mail_location = {format}:{here}/home/{format}
mail_plugins = {plugins}
mail_plugin_dir = {library}/modules
default_login_user = {pwd.getpwuid(user).pw_name}
default_internal_user = {pwd.getpwuid(user).pw_name}
default_internal_group = {grp.getgrgid(group).gr_name}
base_dir = {here}/run
stats_writer_socket_path =
first_valid_uid = 0
first_valid_gid = 0
mail_uid = {user}
mail_gid = {group}
ssl = no
{more}
plugin {{
  mail_crypt_global_private_key = <{here}/private.pem
  mail_crypt_global_public_key = <{here}/public.pem
  mail_crypt_save_version = 2
  fts = xapian
  fts_xapian = partial=3 full=20
}}
""")

def run(service, program, *arguments, text=b""):
    done = subprocess.run(["root/usr/bin/doveconf", "-c", "conf", "-m", service, "-e", f"root/usr/{program}", *arguments], input=text, capture_output=True, env=environment, timeout=120)
    answer = (done.stdout + done.stderr).decode()
    if done.returncode:
        raise SystemExit(answer)
    return answer

def imap(*lines):
    answer = run("imap", "lib/dovecot/imap", text=b"".join(b"t%d %s\r\n" % (n, line) for n, line in enumerate((*lines, b"LOGOUT"))))
    for n in range(len(lines)):
        if f"t{n} OK" not in answer:
            raise SystemExit(answer)
    return answer

def tell(label):
    found = {}
    for folder, _, files in os.walk("home"):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read().lower()
            kind = next((kind for kind in ("xapian-indexes", "attachments") if kind in folder), name if name.startswith("dovecot") else "mail")
            found.setdefault(kind, set()).update(what for what, word in words.items() if word in data)
    print(f"{label}:", "; ".join(f"{kind} {', '.join(sorted(held)) or 'nothing'}" for kind, held in sorted(found.items()) if held or kind in ("mail", "attachments")))

words = {"sender": b"zyxwvut", "subject": b"qwertz", "body": b"diabetes", "attachment": b"metformin"}
attached = base64.encodebytes(b"dose of metformin " * 9000).replace(b"\n", b"\r\n")
mail = (b"From: Zyxwvut <z@example.org>\r\nTo: calls@example.org\r\nSubject: Qwertz\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nI have diabetes.\r\n--b\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + attached + b"\r\n--b--\r\n")

def store(label):
    imap(b"APPEND INBOX {%d+}\r\n%s" % (len(mail), mail))
    tell(label + ", stored")

configure("maildir", "mail_crypt")
store("maildir")
imap(b"SELECT INBOX", b"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)] PREVIEW)")
tell("maildir, listed")
configure("maildir", "mail_crypt fts fts_xapian")
run("doveadm", "bin/doveadm", "index", "INBOX")
tell("maildir, indexed")
for label, system in (("mdbox with mail_attachment_dir", "posix"), ("the same, encrypted too", "crypt set_prefix=mail_crypt_global:posix:")):
    subprocess.run(["rm", "-rf", "home/maildir", "home/mdbox", "home/attachments"], check=True)
    configure("mdbox", "mail_crypt", f"mail_attachment_dir = {here}/home/attachments\nmail_attachment_fs = {system}")
    store(label)
    whole = "dose of metformin" in base64.b64decode("".join(imap(b"SELECT INBOX", b"FETCH 1 (BODY.PEEK[2])").split("}")[1].split(")")[0].split())).decode()
    print(f"{label}, read again: {whole}")
PY
echo "Dovecot $(LD_LIBRARY_PATH=root/usr/lib/dovecot root/usr/sbin/dovecot --version | cut -d' ' -f1)"
seen=$(python3 mail.py "$link")
echo "$seen"
[ "$seen" = "maildir, stored: mail nothing
maildir, listed: dovecot.index.cache body, sender, subject; mail nothing
maildir, indexed: dovecot.index.cache body, sender, subject; mail nothing; xapian-indexes sender, subject
mdbox with mail_attachment_dir, stored: attachments attachment; mail nothing
mdbox with mail_attachment_dir, read again: True
the same, encrypted too, stored: attachments nothing; mail nothing
the same, encrypted too, read again: True" ] || changed "other files are in clear"
echo "as described"
