#!/usr/bin/env bash
# Tool: Synapse 1.163.2 (Matrix server), SQLite, an unencrypted room. A caller wrote a message and sent a letter as a file; then an administrator erases the caller by
#   `POST /_synapse/admin/v1/deactivate/…` with `"erase": true`.
# Expected: "erase" takes out what the person wrote: messages, files, profile.
# Happens: profile, name in the room and addresses are gone. The messages stay as they are in the database, and whoever was in the room before reads them and finds them by search
#   as before. Who joins later sees them emptied, and learns by search that the word was in them. The file stays, and everybody of the server who has its address downloads it, who joins
#   later too. `"erased": true` is what the server then says of the person.
# Hurts: an erasure is confirmed by the server's own answer while every agent of the room, each export by such an account and the database have the text.
# Instead: before erasing, redact each message of the person (`POST /_synapse/admin/v1/user/…/redact` does so for all rooms; their corrections too) and delete their media (`DELETE
#   /_synapse/admin/v1/users/…/media`); search the rooms as an old member afterwards. Both are tried here.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check matrix-synapse==1.163.2
venv/bin/python -m synapse.app.homeserver --server-name example.test --config-path base.yaml --generate-config --report-stats=no >setup.log 2>&1 || { cat setup.log >&2; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > more.yaml <<YAML
listeners: [{port: $port, type: http, tls: false, bind_addresses: [127.0.0.1], resources: [{names: [client, media]}]}]
trusted_key_servers: []
suppress_key_server_warning: true
YAML
venv/bin/python -m synapse.app.homeserver --config-path base.yaml --config-path more.yaml >server.log 2>&1 &
server=$!
cat > erase.py <<'PY'
import itertools, json, subprocess, sys, time, urllib.error, urllib.request
from importlib.metadata import version

base, count = f"http://127.0.0.1:{sys.argv[1]}", itertools.count()
def ask(method, path, body=None, token=None, data=None):
    request = urllib.request.Request(base + path, method=method, data=json.dumps(body).encode() if data is None and body is not None else data)
    request.add_header("Content-Type", "application/json" if data is None else "text/plain")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text
    except urllib.error.HTTPError as error:
        return {"refused": error.code}

for _ in range(1500):
    try:
        ask("GET", "/_matrix/client/versions")
        break
    except OSError:
        time.sleep(0.2)

tokens = {}
for name in ("agent", "later", "admin", "first", "second"):
    subprocess.run(["venv/bin/register_new_matrix_user", "-u", name, "-p", "example", "--admin" if name == "admin" else "--no-admin", "-c", "base.yaml", base], check=True, stdout=subprocess.DEVNULL)
    tokens[name] = ask("POST", "/_matrix/client/v3/login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "example"})["access_token"]

def of(name):
    return f"@{name}:example.test"

class Room:
    """A room of the agent and one caller, who sends a message and a file."""
    def __init__(self, caller):
        self.caller = of(caller)
        ask("PUT", f"/_matrix/client/v3/profile/{self.caller}/displayname", {"displayname": "Erika Muster"}, tokens[caller])
        self.room = ask("POST", "/_matrix/client/v3/createRoom", {"invite": [self.caller], "preset": "private_chat"}, tokens["agent"])["room_id"]
        ask("POST", f"/_matrix/client/v3/join/{self.room}", {}, tokens[caller])
        self.file = ask("POST", "/_matrix/media/v3/upload?filename=letter.txt", token=tokens[caller], data=b"Dear Ms Zyxwvut")["content_uri"].removeprefix("mxc://")
        for content in ({"msgtype": "m.text", "body": "I am Zyxwvut and have diabetes"}, {"msgtype": "m.file", "body": "letter.txt", "url": "mxc://" + self.file}):
            ask("PUT", f"/_matrix/client/v3/rooms/{self.room}/send/m.room.message/{next(count)}", content, tokens[caller])
        ask("PUT", f"/_matrix/client/v3/rooms/{self.room}/send/m.room.message/{next(count)}", {"msgtype": "m.text", "body": "Thank you"}, tokens["agent"])

    def told(self, name):
        token = tokens[name]
        history = ask("GET", f"/_matrix/client/v3/rooms/{self.room}/messages?dir=b&limit=100", token=token)["chunk"]
        found = ask("POST", "/_matrix/client/v3/search", {"search_categories": {"room_events": {"search_term": "Zyxwvut", "filter": {"rooms": [self.room]}}}}, token)
        found = found["search_categories"]["room_events"]["results"]
        file = ask("GET", f"/_matrix/client/v1/media/download/{self.file}", token=token)
        return (f"{name} reads {'the message' if 'Zyxwvut' in json.dumps(history) else 'no message'}, finds {'nothing' if not found else 'the message' if 'Zyxwvut' in json.dumps(found) else 'an emptied message'}, "
            f"downloads {'the file' if file == b'Dear Ms Zyxwvut' else 'nothing'}, {'sees' if 'Erika' in json.dumps(history) else 'sees no'} name")

    def erase(self):
        ask("POST", f"/_synapse/admin/v1/deactivate/{self.caller}", {"erase": True}, tokens["admin"])
        for _ in range(300):
            if ask("GET", f"/_matrix/client/v3/rooms/{self.room}/state/m.room.member/{self.caller}", token=tokens["agent"]).get("membership") == "leave":
                break
            time.sleep(0.2)
        time.sleep(3)
        print("the server says erased:", ask("GET", f"/_synapse/admin/v2/users/{self.caller}", token=tokens["admin"])["erased"])

    def join(self, name):
        ask("POST", f"/_matrix/client/v3/rooms/{self.room}/invite", {"user_id": of(name)}, tokens["agent"])
        ask("POST", f"/_matrix/client/v3/join/{self.room}", {}, tokens[name])

print("Synapse", version("matrix-synapse"))
room = Room("first")
print("before:", room.told("agent"))
room.erase()
room.join("later")
for name in ("agent", "later"):
    print("after:", room.told(name))
room = Room("second")
task = ask("POST", f"/_synapse/admin/v1/user/{room.caller}/redact", {"rooms": []}, tokens["admin"])["redact_id"]
for _ in range(300):
    if ask("GET", f"/_synapse/admin/v1/user/redact_status/{task}", token=tokens["admin"])["status"] in ("complete", "failed"):
        break
    time.sleep(0.2)
ask("DELETE", f"/_synapse/admin/v1/users/{room.caller}/media", token=tokens["admin"])
room.erase()
print("redacted, media deleted, erased:", room.told("agent"))
PY
seen=$(venv/bin/python erase.py "$port" 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "Synapse 1.163.2
before: agent reads the message, finds the message, downloads the file, sees name
the server says erased: True
after: agent reads the message, finds the message, downloads the file, sees no name
after: later reads no message, finds an emptied message, downloads the file, sees no name
the server says erased: True
redacted, media deleted, erased: agent reads no message, finds nothing, downloads nothing, sees no name" ] || changed "other things stay"
echo "as described"
