#!/usr/bin/env bash
# Tool: Synapse 1.163.2 (Matrix server), SQLite, an unencrypted room of two people.
# Expected: redacting a message takes its text out of the room: what was corrected in it too, as a correction (m.replace) only says
#   how that one message reads now.
# Happens: only the original is emptied. The correction is an event of its own and stays as it is, with the whole corrected text twice in it: it is
#   delivered in the room's history to everybody, also to who joins later, and found by search. At the same time the server
#   no longer lists it among the relations of the message, so that a client that wants to redact the corrections too is told that
#   there are none. A reply that quotes the message keeps the quoted text. The search counts emptied events on, which tells whether a
#   word was in them.
# Hurts: an agent corrects a typing error in a message with a diagnosis, the message is redacted at the caller's wish, every client shows
#   "message deleted", and the text is in the history, the search, each export and each bridge.
# Instead: before redacting, list the relations of the message and redact each correction first; afterwards search the room for the text;
#   where both were forgotten, walk through the room's history for events whose m.relates_to names the message.
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
listeners: [{port: $port, type: http, tls: false, bind_addresses: [127.0.0.1], resources: [{names: [client]}]}]
trusted_key_servers: []
suppress_key_server_warning: true
YAML
venv/bin/python -m synapse.app.homeserver --config-path base.yaml --config-path more.yaml >server.log 2>&1 &
server=$!
cat > room.py <<'PY'
import itertools, json, subprocess, sys, time, urllib.request
from importlib.metadata import version

base, count = f"http://127.0.0.1:{sys.argv[1]}", itertools.count()
def ask(method, path, body=None, token=None):
    request = urllib.request.Request(base + path, method=method, data=None if body is None else json.dumps(body).encode())
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)

for _ in range(200):
    try:
        ask("GET", "/_matrix/client/versions")
        break
    except OSError:
        time.sleep(0.2)

def log_in(name):
    return ask("POST", "/_matrix/client/v3/login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "example"})["access_token"]

for name in ("agent", "caller", "later"):
    subprocess.run(["venv/bin/register_new_matrix_user", "-u", name, "-p", "example", "--no-admin", "-c", "base.yaml", base], check=True, stdout=subprocess.DEVNULL)
agent, caller, later = (log_in(name) for name in ("agent", "caller", "later"))
room = ask("POST", "/_matrix/client/v3/createRoom", {"invite": ["@caller:example.test", "@later:example.test"], "preset": "private_chat"}, agent)["room_id"]
ask("POST", f"/_matrix/client/v3/join/{room}", {}, caller)
def send(token, **content):
    return ask("PUT", f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{next(count)}", {"msgtype": "m.text", **content}, token)["event_id"]
def corrections(event):
    return len(ask("GET", f"/_matrix/client/v1/rooms/{room}/relations/{event}/m.replace", token=agent)["chunk"])
def redact(event):
    ask("PUT", f"/_matrix/client/v3/rooms/{room}/redact/{event}/{next(count)}", {}, agent)
def history(token):
    return sum("Zyxwvut" in json.dumps(event) for event in ask("GET", f"/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100", token=token)["chunk"])
def search():
    found = ask("POST", "/_matrix/client/v3/search", {"search_categories": {"room_events": {"search_term": "Zyxwvut"}}}, agent)
    found = found["search_categories"]["room_events"]
    return f"{len(found['results'])} (counted {found['count']})"
def tell(label, event):
    print(f"{label}: original {ask('GET', f'/_matrix/client/v3/rooms/{room}/event/{event}', token=caller)['content'].get('body', 'empty')!r}, corrections listed {corrections(event)}, "
        f"events with the name in the history {history(caller)}, found by search {search()}")

print("Synapse", version("matrix-synapse"))
text = {"msgtype": "m.text", "body": "Ms Zyxwvut has diabetes"}
message = send(agent, body="Ms Zyxwvut has diabetis")
edit = send(agent, body="* " + text["body"], **{"m.new_content": text, "m.relates_to": {"rel_type": "m.replace", "event_id": message}})
tell("sent and corrected", message)
redact(message)
time.sleep(1)
tell("original redacted", message)
ask("POST", f"/_matrix/client/v3/join/{room}", {}, later)
print("who joins later gets", history(later))
redact(edit)
time.sleep(1)
tell("correction redacted", message)
message = send(agent, body="Ms Zyxwvut has asthma")
send(caller, body="> <@agent:example.test> Ms Zyxwvut has asthma\n\nyes", **{"m.relates_to": {"m.in_reply_to": {"event_id": message}}})
redact(message)
time.sleep(1)
tell("another one, quoted in a reply, redacted", message)
PY
seen=$(venv/bin/python room.py "$port")
echo "$seen"
[ "$seen" = "Synapse 1.163.2
sent and corrected: original 'Ms Zyxwvut has diabetis', corrections listed 1, events with the name in the history 2, found by search 2 (counted 2)
original redacted: original 'empty', corrections listed 0, events with the name in the history 1, found by search 1 (counted 2)
who joins later gets 1
correction redacted: original 'empty', corrections listed 0, events with the name in the history 0, found by search 0 (counted 2)
another one, quoted in a reply, redacted: original 'empty', corrections listed 0, events with the name in the history 1, found by search 1 (counted 4)" ] || changed "other events keep the text"
echo "as described"
