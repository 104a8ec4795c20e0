#!/usr/bin/env bash
# Tool: ejabberd 23.01 (Debian 12: ejabberd 23.01-1 and erlang-p1-oauth2 0.6.11-2 with what they need, unpacked, not installed), its commands ban_account,
#   change_password and unregister, and tokens (OAuth, `X-OAUTH2`) as apps and web clients of agents have them instead of the password. It takes up to three minutes.
# Expected: who is banned or deleted does not get in any more, in whatever way; a new password ends what was issued before, or the tokens are at least
#   bound to the account that they were issued for.
# Happens: the sessions end and the password is refused, and with the token the person is back at once: after the ban, after another password,
#   after the account was deleted. Without an account they are sent messages by its name, which are archived anew; once the name is given to the next
#   person they enter that account with the old token, and are handed that person's messages. The token goes on to its end (`oauth_expire`, 49 days if
#   not set). oauth_revoke_token refuses it, one by one, and leaves the sessions that it opened.
# Why: ejabberd_oauth looks for the token in a table of its own (name, scope, end) and asks nothing about the account; deleting an account or setting a password clears
#   nothing there. ban_account sets a random password and kicks (documented).
# Hurts: an agent who left reads the chats of patients on the phone for weeks, while the account is gone; the successor's too if names are reused.
# Instead: with each ban, deletion or new password look for the name in oauth_list_tokens, revoke each token, then kick_user; `oauth_expire` of minutes;
#   never give a name twice.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root spool
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    ejabberd=23.01-1 erlang-p1-oauth2=0.6.11-2 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > leave.py <<'PY'
import base64, glob, json, os, socket, subprocess, time, urllib.request

here = os.getcwd()
erlang, library = here + "/root/usr/lib/erlang", glob.glob(here + "/root/usr/lib/*-linux-gnu")[0]
programs = glob.glob(erlang + "/erts-*/bin")[0]
ports = []
for _ in range(2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports.append(free.getsockname()[1])
with open("ejabberd.yml", "w") as file:
    file.write(f"""hosts: [example.org]
auth_method: internal
auth_password_format: scram
oauth_access: all
listen:
  - port: {ports[0]}
    ip: "127.0.0.1"
    module: ejabberd_c2s
  - port: {ports[1]}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
api_permissions:
  administrator:
    from: [mod_http_api]
    who: all
    what: "*"
modules:
  mod_admin_extra: {{}}
  mod_roster: {{}}
  mod_mam:
    default: always
""")
environment = {"PATH": os.environ["PATH"], "HOME": here, "LD_LIBRARY_PATH": library, "ERL_LIBS": library, "ROOTDIR": erlang, "BINDIR": programs, "EMU": "beam",
    "PROGNAME": "erl", "EJABBERD_CONFIG_PATH": here + "/ejabberd.yml", "EJABBERD_LOG_PATH": here + "/ejabberd.log"}
with open("out", "w") as out:
    server = subprocess.Popen([programs + "/erlexec", "+S", "1:1", "-noinput", "-mnesia", "dir", f'"{here}/spool"', "-s", "ejabberd"],
        env=environment, stdout=out, stderr=out)

def command(name, **arguments):
    request = urllib.request.Request(f"http://127.0.0.1:{ports[1]}/api/{name}", json.dumps(arguments).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read())

class Client:
    def __init__(self, secret, mechanism="PLAIN", user="erika"):
        self.socket, self.rest = socket.create_connection(("127.0.0.1", ports[0]), timeout=300), ""
        login = base64.b64encode(f"\0{user}\0{secret}".encode()).decode()
        self.open()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{login}</auth>")
        self.entered = self.until("<success", "</failure>")
        if self.entered:
            self.until("/>")
            self.open()
            self.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            self.until("</iq>")
            self.send("<presence/>")
            self.until("<presence")
    def open(self):
        self.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>")
        self.until("</stream:features>")
    def send(self, text):
        self.socket.sendall(text.encode())
    def until(self, word, other=None):
        """Reads up to one of two words and tells whether it is the first."""
        while word not in self.rest and not (other and other in self.rest):
            more = self.socket.recv(65536).decode()
            assert more, self.rest
            self.rest += more
        found = word in self.rest
        self.text, _, self.rest = self.rest.partition(word if found else other)
        return found
    def reads(self, word):
        calls.send(f"<message to='erika@example.org' type='chat'><body>{word}</body></message>")
        return "reads" if self.until(word, "</stream:stream>") else "does not read"
    def archive(self):
        count = 0
        for _ in range(100):  # a message is archived a moment after it was sent
            self.send("<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2'/></iq>")
            self.until("</fin>")
            count = self.text.count("<result")
            if count:
                break
            time.sleep(0.1)
        return count

def taken(*login):
    return "taken" if Client(*login).entered else "refused"

def ended(client):
    return "ended" if client.until("</stream:stream>") else "open"

try:
    for _ in range(3000):
        if server.poll() is not None:
            raise SystemExit(open("out").read())
        try:
            socket.create_connection(("127.0.0.1", ports[1])).close()
            break
        except OSError:
            time.sleep(0.2)
    assert "started" in command("status")
    person = {"user": "erika", "host": "example.org"}
    command("register", **person, password="secret")
    command("register", user="calls", host="example.org", password="secret")
    token = command("oauth_issue_token", jid="erika@example.org", ttl=86400, scopes="sasl_auth")["token"]
    calls, session = Client("secret", user="calls"), Client("secret")
    app = Client(token, "X-OAUTH2")
    print(f"before: password taken, token {'taken' if app.entered else 'refused'}, another token {taken(token[::-1], 'X-OAUTH2')}")
    command("ban_account", **person, reason="left")
    print(f"ban_account: sessions {ended(session)} and {ended(app)}, password {taken('secret')}, ", end="")
    app = Client(token, "X-OAUTH2")
    print(f"token {'taken' if app.entered else 'refused'}, {app.reads('diabetes-1')}")
    command("change_password", **person, newpass="other")
    print(f"change_password: token {taken(token, 'X-OAUTH2')}")
    command("unregister", **person)
    print(f"unregister: session {ended(app)}, password {taken('other')}, ", end="")
    app = Client(token, "X-OAUTH2")
    print(f"token {'taken' if app.entered else 'refused'}, {app.reads('diabetes-2')}")
    command("register", **person, password="next")
    successor = Client("next")
    print(f"the next erika: {successor.archive()} in the archive, ", end="")
    late = Client(token, "X-OAUTH2")
    print(f"old token {'taken' if late.entered else 'refused'}, {late.reads('diabetes-3')}")
    command("oauth_revoke_token", token=token)
    print(f"oauth_revoke_token: token {taken(token, 'X-OAUTH2')}, the session of before {late.reads('diabetes-4')}")
    command("kick_user", **person)
    print(f"kick_user: session {ended(late)}")
finally:
    server.terminate()
    server.wait()
PY
dpkg-deb -f debs/ejabberd_*.deb Version
seen=$(python3 leave.py)
echo "$seen"
[ "$seen" = 'before: password taken, token taken, another token refused
ban_account: sessions ended and ended, password refused, token taken, reads
change_password: token taken
unregister: session ended, password refused, token taken, reads
the next erika: 1 in the archive, old token taken, reads
oauth_revoke_token: token refused, the session of before reads
kick_user: session ended' ] || changed "other logins are taken"
echo "as described"
