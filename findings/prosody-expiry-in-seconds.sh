#!/usr/bin/env bash
# Tool: Prosody 0.12.3 (Debian 12: prosody 0.12.3-1+deb12u1 with its libraries, unpacked, not installed), the message archive (mod_mam) and its
#   archive_expires_after; the archive of rooms (muc_log_expires_after) reads its period by the same rule.
# Expected: "1.5y" keeps eighteen months, "24h" a day, "90 minutes" an hour and a half; or the server refuses what it does not understand.
# Happens: it takes the first whole number and the letter right behind it, if that is d, w, m (month) or y; all else is seconds. "1.5y" and
#   "1h" are one second, "24h" is 24 seconds, "90 minutes" are 90 months. The value that it made of the setting stands in the debug log only,
#   and the next daily run deletes all that is older. What waits for somebody who is not logged in lies in a second store, which
#   the period does not touch.
# Hurts: an archive that has to be kept for eighteen months is empty after the first night, and the log says "Deleted … expired messages" as on
#   any day; one that is to be short keeps for years; and an erased conversation is delivered from the second store later.
# Instead: write days ("548d"); read "archive_expires_after = … in seconds" from the debug log once after each change; watch the count of archived
#   messages; delete the offline store with the archive.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    prosody=0.12.3-1+deb12u1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > archive.py <<'PY'
import base64, os, re, shutil, socket, subprocess, time

here = os.getcwd()
root = here + "/root"
with open(root + "/usr/bin/prosody") as file:
    program = file.read()
for path, other in (("/usr/lib/prosody", root + "/usr/lib/prosody"), ("/usr/lib/prosody/modules/", root + "/usr/lib/prosody/modules/"),
        ("/etc/prosody", here), ("/var/lib/prosody", here + "/data")):
    program = program.replace(f"'{path}'", f"'{other}'")
with open("prosody.lua", "w") as file:
    file.write(program)
lua, library = root + "/usr/share/lua/5.4/", root + "/usr/lib/x86_64-linux-gnu"
environment = {**os.environ, "LUA_PATH": f"{lua}?.lua;{lua}?/init.lua;;", "LUA_CPATH": library + "/lua/5.4/?.so;;", "LD_LIBRARY_PATH": library}
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    at = free.getsockname()

def serve(period):
    with open("config.lua", "w") as file:
        file.write(f"""daemonize = false
run_as_root = true
pidfile = "{here}/pid"
data_path = "{here}/data"
modules_enabled = {{ "saslauth", "mam", "offline" }}
modules_disabled = {{ "s2s", "s2s_auth_certs", "posix", "tls" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {at[1]} }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
archive_expires_after = "{period}"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{here}/log" }} }}
VirtualHost "example.org"
""")
    open("log", "w").close()
    server = subprocess.Popen([root + "/usr/bin/lua5.4", "prosody.lua", "--config", here + "/config.lua"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(50):
        try:
            socket.create_connection(at).close()
            return server
        except OSError:
            time.sleep(0.2)
    raise SystemExit("Prosody does not answer")

class Client:
    def __init__(self, user):
        self.socket, self.rest = socket.create_connection(at, timeout=10), ""
        login = base64.b64encode(f"\0{user}\0secret".encode()).decode()
        self.open()
        self.ask(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>", "<success")
        self.open()
        self.ask("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")

    def open(self):
        self.ask("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>", "</stream:features>")

    def ask(self, text, until):
        self.socket.sendall(text.encode())
        while until not in self.rest:
            more = self.socket.recv(65536).decode()
            assert more, self.rest
            self.rest += more
        answer, _, self.rest = self.rest.partition(until)
        return answer

    def archived(self):
        return self.ask("<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2'/></iq>", "</fin>").count("<result")

def stop(server):
    server.terminate()
    server.wait()

folder = "data/example%2eorg/"
os.makedirs(folder + "accounts")
for user in ("erika", "calls"):
    with open(f"{folder}accounts/{user}.dat", "w") as file:
        file.write('return { ["password"] = "secret"; };\n')
server = serve("12 months")
client = Client("erika")
for n in range(5):
    client.socket.sendall(f"<message to='calls@example.org' type='chat' id='m{n}'><body>diabetes {n}</body></message>".encode())
time.sleep(1)
print("sent and archived:", Client("calls").archived())
stop(server)
# The daily run is due at the next start.
with open(folder + "cron.dat", "w") as file:
    file.write('return { ["mam/remove_expired_messages"] = 1600000000; };\n')
shutil.copytree("data", "before")
time.sleep(3)
for period in ("548d", "24h", "1.5y", "1h", "90 minutes"):
    shutil.rmtree("data")
    shutil.copytree("before", "data")
    server = serve(period)
    time.sleep(3)
    left = Client("calls").archived()
    stop(server)
    with open("log") as file:
        log = file.read()
    seconds = float(re.search(r"archive_expires_after = (\S+)", log)[1])
    assert re.search(r"Deleted \d+ expired messages", log), log
    warned = [line for line in log.splitlines() if re.search(r"\b(warn|error)\b.*(mam|expire)", line)]
    with open(folder + "offline/calls.list") as file:
        waiting = file.read().count("diabetes")
    print(f'"{period}": {seconds:.0f} s, archived {left}, waiting {waiting}, warnings {len(warned)}')
PY
dpkg-deb -f debs/prosody_*.deb Version
seen=$(python3 archive.py)
echo "$seen"
[ "$seen" = 'sent and archived: 5
"548d": 47347200 s, archived 5, waiting 5, warnings 0
"24h": 24 s, archived 5, waiting 5, warnings 0
"1.5y": 1 s, archived 0, waiting 5, warnings 0
"1h": 1 s, archived 0, waiting 5, warnings 0
"90 minutes": 241056000 s, archived 5, waiting 5, warnings 0' ] || changed "periods are read otherwise"
echo "as described"
