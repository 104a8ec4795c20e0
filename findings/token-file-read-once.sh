#!/usr/bin/env bash
# Tools: kubernetes 37.0.2, kubernetes_asyncio 36.1.0, lightkube 1.0.1, kr8s 0.20.15 and pykube-ng 23.6.0 (Python), with a kubeconfig that names a file with
#   the token (`tokenFile`), as an agent or a sidecar renews it each hour; the server takes no token but the newest.
# Expected: the file is read anew each minute, as kubectl and Go do, or after an answer of 401; a library that does not know `tokenFile` says so.
# Happens: kubernetes and kubernetes_asyncio read the file once, when the configuration is loaded, and send that token for ever. kr8s and pykube-ng
#   do not know the field, and send no token at all, without an error: they are anonymous. lightkube reads the file once, and again after a 401. A `token` written into the
#   kubeconfig is sent by all.
# Hurts: a worker that revokes rights, rotates keys or erases stops after an hour with 401 and goes on trying; where anonymous requests are
#   allowed, the audit log has the work of a library under system:anonymous, which somebody may give rights to so that it runs.
# Instead: in a pod use the mounted ServiceAccount (`load_incluster_config`), which is read anew; load the configuration again after a 401; for kr8s and pykube-ng write an
#   `exec` entry that prints the token (v1beta1, which both read in their source; not tried here); ask at start who one is (`kubectl auth whoami`, a SelfSubjectReview) and stop when it is nobody.
# Takes: three to six minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2 kubernetes_asyncio==36.1.0 lightkube==1.0.1 kr8s==0.20.15 pykube-ng==23.6.0
venv/bin/pip list 2>/dev/null | grep -E '^(kubernetes|kubernetes_asyncio|lightkube|kr8s|pykube-ng) '
cat >tokens.py <<'PY'
import asyncio, http.server, json, os, sys, threading, time

name, given = sys.argv[1:3]
seen, valid = [], ["first"]

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        token = self.headers.get("Authorization", "none").removeprefix("Bearer ")
        seen.append(token)
        good = token == valid[0]
        if "/namespaces/calls" in self.path:
            body = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "calls"}}
        elif self.path.startswith("/version"):
            body = {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}
        else:
            body = {"kind": "APIVersions", "versions": ["v1"]}
        if not good:
            body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"}
        text = json.dumps(body).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
folder = os.path.abspath(f"{name}-{given}")
os.makedirs(folder, exist_ok=True)
with open(folder + "/config", "w") as file:
    json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"tokenFile": folder + "/token"} if given == "file" else {"token": "first"}}]}, file)

def renew(token):
    with open(folder + "/new", "w") as file:
        file.write(token)
    os.replace(folder + "/new", folder + "/token")
    valid[0] = token

def tell(number, answered):
    sent = " then ".join(dict.fromkeys(seen)) or "nothing"
    print(("first token: " if number == "first" else "second token, 70 seconds old: ") + ("answered" if answered else "refused") + f", sent {sent}", flush=True)
    seen.clear()

def turns():
    yield "first"
    if given == "file":
        renew("second")
        time.sleep(70)
        yield "second"

def steps(ask):
    for number in turns():
        try:
            ask()
            tell(number, True)
        except Exception as error:
            print(repr(error), file=sys.stderr)
            tell(number, False)

async def steps_async(ask):
    for number in turns():
        try:
            await ask()
            tell(number, True)
        except Exception as error:
            print(repr(error), file=sys.stderr)
            tell(number, False)

renew("first")
config = folder + "/config"
if name == "kubernetes":
    from kubernetes import client
    from kubernetes import config as loader
    loader.load_kube_config(config)
    api = client.CoreV1Api()
    steps(lambda: api.read_namespace("calls"))
elif name == "kubernetes_asyncio":
    from kubernetes_asyncio import client
    from kubernetes_asyncio import config as loader
    async def go():
        await loader.load_kube_config(config)
        async with client.ApiClient() as one:
            await steps_async(lambda: client.CoreV1Api(one).read_namespace("calls"))
    asyncio.run(go())
elif name == "lightkube":
    from lightkube import Client, KubeConfig
    from lightkube.resources.core_v1 import Namespace
    api = Client(config=KubeConfig.from_file(config))
    steps(lambda: api.get(Namespace, "calls"))
elif name == "kr8s":
    import kr8s
    api = []
    def ask():
        api[:] = api or [kr8s.api(kubeconfig=config)]
        return api[0].version()
    steps(ask)
elif name == "pykube":
    import pykube
    api = pykube.HTTPClient(pykube.KubeConfig.from_file(config))
    steps(lambda: pykube.Namespace.objects(api).get(name="calls"))
PY
libraries=(kubernetes kubernetes_asyncio lightkube kr8s pykube)
running=()
for library in "${libraries[@]}"; do
    for given in inline file; do
        venv/bin/python -W ignore tokens.py "$library" "$given" >"$library-$given.out" 2>"$library-$given.log" &
        running+=($!)
    done
done
for one in "${running[@]}"; do wait "$one" || { cat ./*.log >&2; changed "an example fails"; }; done
seen=$(for library in "${libraries[@]}"; do
    echo "$library:"
    sed 's/^/  written into the kubeconfig, /' "$library-inline.out"
    sed 's/^/  /' "$library-file.out"
done)
echo "$seen"
[ "$seen" = "kubernetes:
  written into the kubeconfig, first token: answered, sent first
  first token: answered, sent first
  second token, 70 seconds old: refused, sent first
kubernetes_asyncio:
  written into the kubeconfig, first token: answered, sent first
  first token: answered, sent first
  second token, 70 seconds old: refused, sent first
lightkube:
  written into the kubeconfig, first token: answered, sent first
  first token: answered, sent first
  second token, 70 seconds old: answered, sent first then second
kr8s:
  written into the kubeconfig, first token: answered, sent first
  first token: refused, sent none
  second token, 70 seconds old: refused, sent none
pykube:
  written into the kubeconfig, first token: answered, sent first
  first token: refused, sent none
  second token, 70 seconds old: refused, sent none" ] || changed "other tokens are sent"
echo "as described"
