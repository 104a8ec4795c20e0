#!/usr/bin/env bash
# Tool: Keycloak 26.7.3 (development mode), a client that named its address for logout (OpenID Connect Back-Channel Logout), agents who are logged in there.
# Expected: when an administrator disables or deletes a person, gives them another password, or ends all sessions of the realm, the client is told, as
#   when the administrator logs that person out; who was disabled and is let in again has to log in anew.
# Happens: only "log out" of one person and "remove" of one session send the client anything. Disabling, deleting, a new password and "log out all" send
#   nothing, so that the client's own session goes on until it asks. Disabling ends no session: once the account is enabled again, refresh tokens of before
#   work, offline ones too; after a new password they never stopped.
# Hurts: the account of an agent who leaves is disabled, and the player of recordings, which keeps a cookie of its own and relies on being told, stays open
#   in the browser at home; a device that was stolen works again on the day the account is enabled for its owner.
# Instead: log the person out first, then disable or delete them, in every script and runbook; log out before a new password; let clients keep sessions
#   short and refresh their token at each renewal, not only once.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; sleep 1; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mvn -q -B dependency:copy -Dartifact=org.keycloak:keycloak-quarkus-dist:26.7.3:zip -DoutputDirectory="$work" >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
python3 -m zipfile -e keycloak-quarkus-dist-26.7.3.zip .
rm keycloak-quarkus-dist-26.7.3.zip
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=example \
    bash keycloak-26.7.3/bin/kc.sh start-dev --http-host=127.0.0.1 --http-port="$port" --cache=local >server.log 2>&1 &
server=$!
for _ in $(seq 600); do grep -q 'Listening on' server.log && break; sleep 1; done
grep -q 'Listening on' server.log || { tail server.log >&2; exit 1; }
grep -o 'Keycloak [0-9.]* on JVM' server.log
cat > ask.py <<'PY'
import base64, http.server, json, sys, threading, time, urllib.error, urllib.parse, urllib.request

told = []
class Client(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sent = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["logout_token"][0]
        told.append(json.loads(base64.urlsafe_b64decode(sent.split(".")[1] + "=="))["sub"])
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

client = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Client)
threading.Thread(target=client.serve_forever, daemon=True).start()

def post(realm, **fields):
    request = urllib.request.Request(f"{sys.argv[1]}/realms/{realm}/protocol/openid-connect/token", data=urllib.parse.urlencode(fields).encode())
    try:
        return json.loads(urllib.request.urlopen(request).read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())

def admin(method, path, body=None):
    token = post("master", client_id="admin-cli", username="admin", password="example", grant_type="password")["access_token"]
    request = urllib.request.Request(sys.argv[1] + "/admin/realms" + path, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else answer.headers.get("Location", "").rsplit("/", 1)[-1]

password = lambda text: {"type": "password", "value": text, "temporary": False}
admin("POST", "", {"realm": "calls", "enabled": True})
admin("POST", "/calls/clients", {"clientId": "player", "enabled": True, "publicClient": False, "secret": "example", "directAccessGrantsEnabled": True, "redirectUris": ["https://player.example/*"],
    "attributes": {"backchannel.logout.url": f"http://127.0.0.1:{client.server_port}/logout", "backchannel.logout.session.required": "true"}})
player = {"client_id": "player", "client_secret": "example"}
refresh = lambda token: "works" if "access_token" in post("calls", **player, grant_type="refresh_token", refresh_token=token["refresh_token"]) else "refused"

for number, (what, act) in enumerate({
    "log out": lambda who: admin("POST", f"/calls/users/{who}/logout"),
    "remove the session": lambda who: [admin("DELETE", f"/calls/sessions/{one['id']}") for one in admin("GET", f"/calls/users/{who}/sessions")],
    "disable": lambda who: admin("PUT", f"/calls/users/{who}", {"enabled": False}),
    "new password": lambda who: admin("PUT", f"/calls/users/{who}/reset-password", password("another")),
    "delete": lambda who: admin("DELETE", f"/calls/users/{who}"),
    "log out all": lambda who: admin("POST", "/calls/logout-all"),
}.items()):
    name = f"agent{number}"
    who = admin("POST", "/calls/users", {"username": name, "enabled": True, "email": name + "@calls.example", "firstName": "An", "lastName": "Agent", "credentials": [password("example")]})
    tokens = [post("calls", **player, grant_type="password", username=name, password="example", scope=scope) for scope in ("openid", "openid offline_access")]
    assert all("refresh_token" in token for token in tokens), tokens
    told.clear()
    time.sleep(2)
    act(who)
    time.sleep(3)
    print(f"{what}: the client is {'told' if told == [who] else f'told {told}' if told else 'not told'}, refresh {refresh(tokens[0])}, offline {refresh(tokens[1])}")
    if what == "disable":
        admin("PUT", f"/calls/users/{who}", {"enabled": True})
        print(f"enable again: refresh {refresh(tokens[0])}, offline {refresh(tokens[1])}")
PY
seen=$(python3 ask.py "http://127.0.0.1:$port")
echo "$seen"
[ "$seen" = "log out: the client is told, refresh refused, offline refused
remove the session: the client is told, refresh refused, offline works
disable: the client is not told, refresh refused, offline refused
enable again: refresh works, offline works
new password: the client is not told, refresh works, offline works
delete: the client is not told, refresh refused, offline refused
log out all: the client is not told, refresh refused, offline refused" ] || changed "other changes end sessions"
echo "as described"
