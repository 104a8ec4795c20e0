#!/usr/bin/env bash
# Tool: Kannel 1.4.5 (Debian 12: kannel and kannel-extras 1.4.5-12, unpacked, not installed), the SMS gateway, with its own fakesmsc as the operator's side; a
#   store file, and a log and an access log for each of its two programs, which its example configuration has as comments.
# Expected: an access log says who sent what size to whom and when; a message that was delivered is gone from the store.
# Happens: the whole text of each message, in and out, stands in three logs: the access log of bearerbox, that of smsbox, and smsbox's log at its normal level (1, INFO).
#   `access-log-format` without %b takes it out of the first only, `log-level = 2` out of the third; in smsbox's access log it stays. What was delivered is emptied from
#   `kannel.store`, and is whole in `kannel.store.bak` until the next message comes and the store is written anew. All files are readable for everybody.
# Hurts: one-time codes, diagnoses and what callers answered lie in access logs, which are shipped and kept for long as they "have no contents"; in a night without
#   messages the last ones are in the backup of the store, too.
# Instead: set `access-log-format` without %b in group core and `log-level = 2` in group smsbox, and give smsbox no `access-log`; keep the store on a volume that is not backed up, with umask
#   077; search all files for the text of a test message.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    kannel=1.4.5-12 kannel-extras=1.4.5-12 >apt.txt 2>&1 || { cat apt.txt >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > send.py <<'PY'
import glob, os, socket, stat, subprocess, time, urllib.error, urllib.parse, urllib.request

here = os.getcwd()
folders = {os.path.dirname(os.path.abspath(path)) for place in ("root/usr/lib", "root/lib") for path in glob.glob(place + "/**/*.so*", recursive=True)}
environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}
os.umask(0o022)

def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

def until(ready):
    for _ in range(300):
        if ready():
            return
        time.sleep(0.2)
    raise SystemExit("it took too long")

def holds(folder, name, word):
    try:
        with open(f"{folder}/{name}", "rb") as file:
            return word in file.read()
    except FileNotFoundError:
        return False

def texts(folder):
    return ", ".join(name for name in sorted(os.listdir(folder)) if holds(folder, name, b"Zyxwvut")) or "no file"

def run(label, folder, core="", level=1):
    os.mkdir(folder)
    admin, box, smsc, send = (free_port() for _ in range(4))
    with open(folder + ".conf", "w") as file:
        file.write(f"""group = core
admin-port = {admin}
admin-password = adminword
smsbox-port = {box}
box-allow-ip = "127.0.0.1"
log-file = {here}/{folder}/bearerbox.log
log-level = 1
access-log = {here}/{folder}/access.log
store-type = file
store-location = {here}/{folder}/kannel.store
{core}

group = smsc
smsc = fake
host = 127.0.0.1
port = {smsc}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
log-file = {here}/{folder}/smsbox.log
log-level = {level}
access-log = {here}/{folder}/smsbox-access.log

group = sendsms-user
username = calls
password = secret

group = sms-service
keyword = default
text = "Thank you."
""")
    started = []
    def start(*command):
        with open(folder + ".txt", "a") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    def ask(port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""
    try:
        start("root/usr/sbin/bearerbox", folder + ".conf")
        until(lambda: ask(admin, "/status.txt?password=adminword"))
        start("root/usr/sbin/smsbox", folder + ".conf")
        until(lambda: "smsbox" in ask(admin, "/status.txt?password=adminword"))
        sms = "/cgi-bin/sendsms?" + urllib.parse.urlencode({"username": "calls", "password": "secret", "from": "4711", "to": "12345", "text": "Ms Zyxwvut, your code is 123456"})
        until(lambda: ask(send, sms).startswith(("0:", "3:")))
        until(lambda: holds(folder, "kannel.store", b"Zyxwvut"))
        start(glob.glob("root/usr/lib/kannel/test/fakesmsc")[0], "-H", "127.0.0.1", "-r", str(smsc), "-i", "1", "-m", "1", "4711 12345 text I am Zyxwvut")
        until(lambda: holds(folder, "kannel.store.bak", b"Zyxwvut"))
        time.sleep(30)
        print(f"{label}, 30 s after delivery: {texts(folder)}")
        rights = {stat.filemode(os.stat(f"{folder}/{name}").st_mode) for name in os.listdir(folder)}
        print(f"{label}, rights: {', '.join(sorted(rights))}; undelivered: {ask(admin, '/store-status.txt?password=adminword').count('Zyxwvut')}")
    finally:
        for program in started:
            program.kill()
            program.wait()

run("with log-level 1", "usual")
run("with access-log-format and log-level 2", "quiet", 'access-log-format = "%t %l [SMSC:%i] [from:%p] [to:%P]"', 2)
PY
dpkg-deb -f debs/kannel_*.deb Version
seen=$(python3 send.py 2>python.txt) || { cat python.txt >&2; exit 1; }
echo "$seen"
[ "$seen" = "with log-level 1, 30 s after delivery: access.log, kannel.store.bak, smsbox-access.log, smsbox.log
with log-level 1, rights: -rw-r--r--; undelivered: 0
with access-log-format and log-level 2, 30 s after delivery: kannel.store.bak, smsbox-access.log
with access-log-format and log-level 2, rights: -rw-r--r--; undelivered: 0" ] || changed "other files hold the text"
echo "as described"
