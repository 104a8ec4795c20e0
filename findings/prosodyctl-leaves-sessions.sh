#!/usr/bin/env bash
# Tool: Prosody 0.12.3 (Debian 12: prosody 0.12.3-1+deb12u1 with its libraries, unpacked, not installed), `prosodyctl deluser` ("permanently
#   remove the specified user account") and `prosodyctl passwd`, beside `user:delete` and `user:password` of `prosodyctl shell`.
# Expected: both ways do the same: who was deleted, or whose password was changed, is disconnected.
# Happens: the commands work on the files only, the server is told nothing. Who was deleted and is connected goes on: reads each message that
#   is sent to them, writes, and gets an archive anew, as the server keeps one for each session. When the name is given to another person, that
#   person reads this archive, and the old session is handed their messages. After `passwd` the session stays as well. The commands of
#   the shell disconnect both at once, with "Account deleted" and "Password changed".
# Hurts: an agent who left, or a lost phone, reads the chats of patients for as long as the connection holds (days, as clients ping); what was
#   erased with the account is written again; the successor under the same name inherits a stranger's conversations, and is overheard.
# Instead: `prosodyctl shell` with user:delete and user:password (or the ad-hoc commands of an administrator); after the others
#   restart the server, then look that the archive has no file of that name.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root certs data
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    prosody=0.12.3-1+deb12u1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > leave.py <<'PY'
import base64, os, socket, subprocess, time

here = os.getcwd()
root = here + "/root"
for name in ("prosody", "prosodyctl"):
    with open(f"{root}/usr/bin/{name}") as file:
        program = file.read()
    for path, other in (("/usr/lib/prosody", root + "/usr/lib/prosody"), ("/usr/lib/prosody/modules/", root + "/usr/lib/prosody/modules/"),
            ("/etc/prosody", here), ("/var/lib/prosody", here + "/data")):
        program = program.replace(f"'{path}'", f"'{other}'")
    with open(name + ".lua", "w") as file:
        file.write(program)
lua, library = root + "/usr/share/lua/5.4/", root + "/usr/lib/x86_64-linux-gnu"
environment = {**os.environ, "LUA_PATH": f"{lua}?.lua;{lua}?/init.lua;;", "LUA_CPATH": library + "/lua/5.4/?.so;;", "LD_LIBRARY_PATH": library}
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    at = free.getsockname()
with open("config.lua", "w") as file:
    file.write(f"""daemonize = false
run_as_root = true
pidfile = "{here}/pid"
data_path = "{here}/data"
admin_socket = "{here}/admin"
modules_enabled = {{ "saslauth", "roster", "mam", "offline", "admin_shell" }}
modules_disabled = {{ "s2s", "s2s_auth_certs", "posix", "tls" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {at[1]} }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
storage = "internal"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{here}/log" }} }}
VirtualHost "example.org"
""")

def control(*words, typed=""):
    done = subprocess.run([root + "/usr/bin/lua5.4", "prosodyctl.lua", "--config", here + "/config.lua", *words], env=environment, input=typed,
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

class Client:
    def __init__(self, user, password):
        self.socket, self.rest = socket.create_connection(at, timeout=30), ""
        login = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.open()
        answer = self.ask(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>", "urn:ietf:params:xml:ns:xmpp-sasl")
        self.entered = "<success" in answer
        if self.entered:
            self.open()
            self.ask("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")
            self.ask("<presence/>", "<presence")
    def send(self, text):
        self.socket.sendall(text.encode())
    def open(self):
        self.ask("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>", "</stream:features>")
    def ask(self, text, until):
        self.send(text)
        while until not in self.rest:
            more = self.socket.recv(65536).decode()
            assert more, self.rest
            self.rest += more
        answer, _, self.rest = self.rest.partition(until)
        return answer
    def read(self):
        self.socket.settimeout(3)
        try:
            while True:
                more = self.socket.recv(65536).decode()
                self.rest += more
                if not more:
                    break
        except TimeoutError:
            pass
        except ConnectionError:
            pass
        text, self.rest = self.rest, ""
        return text
    def reads(self, word):
        return "reads" if word in self.read() else "does not read"
    def write(self, to, word):
        self.send(f"<message to='{to}@example.org' type='chat' id='{word}'><body>{word}</body></message>")
    def archived(self):
        return self.ask("<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2'/></iq>", "</fin>").count("<result")

def archive():
    return "there" if os.path.exists("data/example%2eorg/archive/erika.list") else "gone"

with open("out", "w") as out:
    server = subprocess.Popen([root + "/usr/bin/lua5.4", "prosody.lua", "--config", here + "/config.lua"], env=environment, stdout=out, stderr=out)
try:
    for _ in range(150):
        try:
            socket.create_connection(at).close()
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise SystemExit("Prosody does not answer")
    for user in ("erika", "kim", "calls"):
        control("register", user, "example.org", "secret")
    erika, kim, calls = (Client(user, "secret") for user in ("erika", "kim", "calls"))
    calls.write("erika", "diabetes-1")
    print(f"before: erika {erika.reads('diabetes-1')}, archive {archive()}")
    control("deluser", "erika@example.org")
    print(f"deluser: archive {archive()}, new login {'taken' if Client('erika', 'secret').entered else 'refused'}")
    calls.write("erika", "diabetes-2")
    print(f"then: erika {erika.reads('diabetes-2')}, ", end="")
    erika.write("calls", "asthma-1")
    print(f"calls {calls.reads('asthma-1')} what erika writes, archive {archive()}")
    control("register", "erika", "example.org", "other")
    successor = Client("erika", "other")
    print(f"the next erika: {successor.archived()} messages in the archive, ", end="")
    calls.write("erika", "diabetes-3")
    print(f"the old session {erika.reads('diabetes-3')} what is sent to her")
    control("passwd", "kim@example.org", typed="changed\nchanged\n")
    print(f"passwd: old password {'taken' if Client('kim', 'secret').entered else 'refused'}, ", end="")
    calls.write("kim", "diabetes-4")
    print(f"the session {kim.reads('diabetes-4')}")
    control("shell", "user:password('kim@example.org', 'again')")
    print("user:password: the session is", "ended" if "Password changed" in kim.read() else "kept")
    control("shell", "user:delete('erika@example.org')")
    print("user:delete: the sessions are", "ended" if all("Account deleted" in client.read() for client in (erika, successor)) else "kept", "- archive", archive())
finally:
    server.terminate()
    server.wait()
PY
dpkg-deb -f debs/prosody_*.deb Version
seen=$(python3 leave.py)
echo "$seen"
[ "$seen" = "before: erika reads, archive there
deluser: archive gone, new login refused
then: erika reads, calls reads what erika writes, archive there
the next erika: 2 messages in the archive, the old session reads what is sent to her
passwd: old password refused, the session reads
user:password: the session is ended
user:delete: the sessions are ended - archive gone" ] || changed "other sessions end"
echo "as described"
