#!/usr/bin/env bash
# Tool: etcd 3.7.3 (embedded in a Go program; what Kubernetes keeps its objects in).
# Expected: a key that was deleted, and whose revisions were compacted away, is in no snapshot (backup) that is made afterwards.
# Happens: compaction only marks pages of the file as free. A snapshot copies the file with its free pages: the value of a deleted
#   Secret is readable in backups made after the deletion, until the page happens to be written over, which may never be. Defragmenting
#   removes it from the database; the write-ahead log beside it still holds it then.
# Hurts: a private key or a caller's data that was deleted from a cluster on Monday is in Friday's backup of etcd; the retention of the
#   backups must count from there, and an erasure is not done by `kubectl delete`.
# Instead: keep nothing in etcd that must be erasable, or have it encrypted under a key that can be destroyed; after an erasure compact
#   and defragment every member before the next snapshot.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/api/v3/version"
	client "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

var (
	ctx   = context.Background()
	value = []byte("correct-horse-battery")
)

func must[T any](it T, err error) T {
	if err != nil {
		panic(err)
	}
	return it
}

func free() string {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func main() {
	config := embed.NewConfig()
	config.Dir, config.LogLevel = "data", "panic"
	at := free()
	config.ListenPeerUrls = []url.URL{*must(url.Parse(free()))}
	config.ListenClientUrls = []url.URL{*must(url.Parse(at))}
	config.AdvertiseClientUrls = config.ListenClientUrls
	server := must(embed.StartEtcd(config))
	<-server.Server.ReadyNotify()
	etcd := must(client.New(client.Config{Endpoints: []string{at}, Logger: zap.NewNop()}))
	tell := func(label string) {
		snapshot := must(io.ReadAll(must(etcd.Snapshot(ctx))))
		log := false
		for _, path := range must(filepath.Glob("data/member/wal/*.wal")) {
			log = log || bytes.Contains(must(os.ReadFile(path)), value)
		}
		fmt.Printf("%s: value in a snapshot %v, in the write-ahead log %v\n", label, bytes.Contains(snapshot, value), log)
	}
	put := func(key, value string) { must(etcd.Put(ctx, key, value)) }
	filler := string(bytes.Repeat([]byte("x"), 1000))
	for n := range 1000 {
		put(fmt.Sprint("/registry/secrets/calls/", n), filler)
	}
	put("/registry/secrets/calls/500", string(value))
	tell("written")
	gone := must(etcd.Delete(ctx, "/registry/secrets/calls/", client.WithPrefix()))
	must(etcd.Compact(ctx, gone.Header.Revision, client.WithCompactPhysical()))
	_, err := etcd.Get(ctx, "/registry/secrets/calls/500", client.WithRev(gone.Header.Revision-1))
	fmt.Println("reading the old revision:", err)
	tell("deleted and compacted")
	for n := range 300 {
		put("/registry/leases/operator", fmt.Sprint("renewed ", n))
	}
	tell("300 other writes later")
	must(etcd.Defragment(ctx, at))
	tell("defragmented")
	fmt.Println("etcd", version.Version)
}
GO
(go mod init keep && go get go.etcd.io/etcd/server/v3@v3.7.3 go.etcd.io/etcd/client/v3@v3.7.3 && go mod tidy && go build -o keep .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./keep 2>server.log)
echo "$seen"
[ "$seen" = "written: value in a snapshot true, in the write-ahead log true
reading the old revision: etcdserver: mvcc: required revision has been compacted
deleted and compacted: value in a snapshot true, in the write-ahead log true
300 other writes later: value in a snapshot true, in the write-ahead log true
defragmented: value in a snapshot false, in the write-ahead log true
etcd 3.7.3" ] || changed "the value is somewhere else"
echo "as described"
