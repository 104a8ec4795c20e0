#!/usr/bin/env bash
# Tools: Dovecot 2.3.19 (acl, imap_acl) and Cyrus IMAP 3.6.1 (both Debian 12, unpacked, not installed), a mailbox that several people share.
# Expected: once a person's entry was deleted from the mailbox's ACL (DELETEACL), each further command on it is refused: at once, in Dovecot after
#   the thirty seconds of `acl_cache_ttl` at the latest.
# Happens: who has the mailbox selected goes on reading in both: they are told of each new mail, fetch it and find it by its words, while the
#   ACL no longer names them. In Cyrus they also delete, mails included that came later. Dovecot ends writing within those thirty seconds
#   (and answers a deletion that it does not do with OK). LIST leaves the mailbox out and a new SELECT is refused in both.
# Hurts: an agent who changed teams, or was taken off a case, reads on what patients write to the shared mailbox, or deletes it; the ACL proves
#   the contrary, and a test with a new login does too. Mail clients keep a mailbox selected for days.
# Instead: end the sessions of the person after the change (`doveadm kick`, in Cyrus the process that `cyr_info proc` names), then look who is connected; for a
#   group, end those of all its former members.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

for name in dovecot cyrus; do
    mkdir -p "$name/debs/partial" "$name/root"
    case $name in dovecot) packages=(dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7) ;; *) packages=(cyrus-imapd=3.6.1-4+deb12u5 sasl2-bin) ;; esac
    apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/$name/debs" -o Debug::NoLocking=1 \
        "${packages[@]}" >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
    for package in "$name"/debs/*.deb; do dpkg -x "$package" "$name/root"; done
done
cat > share.py <<'PY'
import imaplib, os, pwd, socket, subprocess, sys, time

imaplib.Commands["DELETEACL"] = ("AUTH", "SELECTED")
server = sys.argv[1]
here = os.path.join(os.getcwd(), server)
libraries = here + "/root/usr/lib/x86_64-linux-gnu"
user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
os.chdir(here)
running = []

def owned(path):
    os.makedirs(path)
    os.chown(path, user.pw_uid, user.pw_gid)

if server == "dovecot":
    box = "Public/calls"
    for folder in ("home", "home/erika", "home/cyrus", "home/public", *(f"home/public/.calls{part}" for part in ("", "/new", "/cur", "/tmp"))):
        owned(folder)
    with open("home/public/.calls/dovecot-acl", "w") as file:
        file.write("user=cyrus lrwstipekxa\n")
    os.chown("home/public/.calls/dovecot-acl", user.pw_uid, user.pw_gid)
    with open("dovecot.conf", "w") as file:
        file.write(f"""base_dir = {here}/run
state_dir = {here}/run
mail_location = maildir:~/mail
mail_plugin_dir = {here}/root/usr/lib/dovecot/modules
mail_uid = {user.pw_uid}
mail_gid = {user.pw_gid}
first_valid_uid = 0
first_valid_gid = 0
protocols =
stats_writer_socket_path =
ssl = no
mail_plugins = acl
protocol imap {{
  mail_plugins = acl imap_acl
}}
plugin {{
  acl = vfile
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
namespace public {{
  type = public
  separator = /
  prefix = Public/
  location = maildir:{here}/home/public
  subscriptions = no
}}
""")
    class Local(imaplib.IMAP4):
        """Dovecot's imap, logged in: doveconf reads the settings and starts it."""
        def __init__(self, name):
            environment = {"USER": name, "HOME": f"{here}/home/{name}", "PATH": os.environ["PATH"], "LD_LIBRARY_PATH": f"{here}/root/usr/lib/dovecot:{libraries}"}
            self.process = subprocess.Popen(["root/usr/bin/doveconf", "-c", "dovecot.conf", "-f", "service=imap", "-m", "imap", "-e", here + "/root/usr/lib/dovecot/imap"],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            running.append(self.process)
            super().__init__()
        def open(self, *_, **__):
            self.read, self.readline = self.process.stdout.read, self.process.stdout.readline
        def send(self, data):
            self.process.stdin.write(data)
            self.process.stdin.flush()
        def shutdown(self):
            self.process.stdin.close()
    login = Local
else:
    box = "user.calls"
    programs = here + "/root/usr/lib/cyrus/bin/"
    os.environ.update(LD_LIBRARY_PATH=f"{libraries}:{libraries}/cyrus:{here}/root/lib/x86_64-linux-gnu", TZ="UTC")
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
cyrus_user: {user.pw_name}
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
    for folder in ("conf", "mail", "lock", "proc", "sieve", *("conf/" + name for name in ("db", "socket", "proc", "log", "msg", "user", "quota"))):
        owned(folder)
    for name in ("cyrus", "erika"):
        subprocess.run(["root/usr/sbin/saslpasswd2", "-p", "-c", "-f", here + "/passwords", "-u", "mail.example.org", name], input=b"secret\n", check=True)
    os.chown("passwords", user.pw_uid, user.pw_gid)
    with open("master.log", "w") as log:
        running.append(subprocess.Popen([programs + "master", "-C", here + "/imapd.conf", "-M", here + "/cyrus.conf", "-p", here + "/pid"], stdout=log, stderr=log))
    def login(name):
        for _ in range(100):
            try:
                client = imaplib.IMAP4("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.2)
        else:
            raise SystemExit("Cyrus does not answer")
        assert client.login(name, "secret")[0] == "OK"
        return client

def told(answer):
    return "taken" if answer[0] == "OK" else "refused"

try:
    admin = login("cyrus")
    if server == "cyrus":
        assert admin.create(box)[0] == "OK" and admin.setacl(box, "cyrus", "lrswipkxtea")[0] == "OK"
    assert admin.setacl(box, "erika", "lrswite")[0] == "OK"
    def put(word):
        assert admin.append(box, None, None, f"From: Max Muster <max@example.org>\r\nSubject: {word}\r\n\r\nMy {word} is worse.\r\n".encode())[0] == "OK"
    def in_box():
        return int(admin.select(box, readonly=True)[1][0])
    put("diabetes-0")
    erika = login("erika")
    assert erika.select(box)[0] == "OK"
    assert admin._simple_command("DELETEACL", box, "erika")[0] == "OK"
    print(server + ": erika in the ACL:", b"erika" in admin.getacl(box)[1][0])
    for wait in (0, 45):
        time.sleep(wait)
        put(f"diabetes-{wait}5")
        erika.noop()
        count = int(erika.untagged_responses["EXISTS"][-1])
        text = erika.fetch(str(count), "(BODY.PEEK[TEXT])")[1][0]
        found = erika.search(None, "TEXT", f"diabetes-{wait}5")[1][0].split()
        appended = told(erika.append(box, None, None, b"Subject: note\r\n\r\nnote\r\n"))
        read = f"diabetes-{wait}5".encode() in text[1]
        print(f"  {wait} seconds later: told of {count} mails, reads the new one: {read}, finds it: {len(found) == 1}, "
            f"append {appended}")
    before = in_box()
    print("  store", told(erika.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")), "and expunge", told(erika.expunge()), "- mails before", before, "and after", in_box())
    listed = any(line and b"calls" in line for line in erika.list()[1])
    print("  listed:", listed, "- status", told(erika.status(box, "(MESSAGES)")), "- select", told(erika.select(box)))
finally:
    for process in running:
        process.terminate()
        process.wait()
PY
seen=$(python3 share.py dovecot; python3 share.py cyrus)
echo "$seen"
[ "$seen" = "dovecot: erika in the ACL: False
  0 seconds later: told of 2 mails, reads the new one: True, finds it: True, append taken
  45 seconds later: told of 4 mails, reads the new one: True, finds it: True, append refused
  store taken and expunge taken - mails before 4 and after 4
  listed: False - status taken - select refused
cyrus: erika in the ACL: False
  0 seconds later: told of 2 mails, reads the new one: True, finds it: True, append refused
  45 seconds later: told of 3 mails, reads the new one: True, finds it: True, append refused
  store taken and expunge taken - mails before 3 and after 0
  listed: False - status refused - select refused" ] || changed "who was taken out reads other things"
echo "as described"
