#!/usr/bin/env bash
# Tool: client-go 0.34.1 (Go), its fake clientset (fake.NewClientset), which most operators in Go are tested with.
# Expected: the fake refuses what an API server refuses: an update from an old resourceVersion, a delete whose preconditions name another
#   object, a change of an immutable Secret; a dry run changes nothing; a finalizer delays a delete; deleting a collection deletes it.
# Happens: none of these. Each call returns no error. The dry run of a delete deletes, the delete with another object's uid deletes, finalizers are
#   passed over, and DeleteCollection does nothing at all. A list by field returns everything.
# Hurts: the guards of a job that destroys what is due (by uid, by version, dry run first, finalizer) pass their tests whether they
#   are there or not; a test that a purge by label left nothing over fails although the code is right, and is "fixed".
# Instead: test guards against a real API server (envtest), or add reactors for each guard and see the test fail with the guard taken out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func main() {
	ctx, secrets := context.Background(), fake.NewClientset().CoreV1().Secrets("calls")
	fixed := true
	object := func(name, value string) *core.Secret {
		return &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name, UID: "one", ResourceVersion: "10", Labels: map[string]string{"due": "yes"}},
			Immutable: &fixed, Data: map[string][]byte{"key": []byte(value)}}
	}
	create := func(secret *core.Secret) {
		if _, err := secrets.Create(ctx, secret, meta.CreateOptions{}); err != nil {
			panic(err)
		}
	}
	tell := func(what string, err error) {
		list, listErr := secrets.List(ctx, meta.ListOptions{})
		if listErr != nil {
			panic(listErr)
		}
		left := "nothing is left"
		if len(list.Items) > 0 {
			left = fmt.Sprintf("the key is %s", list.Items[0].Data["key"])
		}
		fmt.Printf("%s: error %v, %s\n", what, err, left)
	}
	create(object("a", "first"))
	old := object("a", "second")
	old.ResourceVersion = "9"
	_, err := secrets.Update(ctx, old, meta.UpdateOptions{})
	tell("update of an immutable Secret from an old version", err)
	other := types.UID("two")
	err = secrets.Delete(ctx, "a", meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &other}})
	tell("delete with another uid as precondition", err)
	create(object("a", "first"))
	err = secrets.Delete(ctx, "a", meta.DeleteOptions{DryRun: []string{meta.DryRunAll}})
	tell("delete as a dry run", err)
	held := object("a", "first")
	held.Finalizers = []string{"example.org/hold"}
	create(held)
	err = secrets.Delete(ctx, "a", meta.DeleteOptions{})
	tell("delete with a finalizer", err)
	create(object("a", "first"))
	err = secrets.DeleteCollection(ctx, meta.DeleteOptions{}, meta.ListOptions{LabelSelector: "due=yes"})
	tell("delete of the collection with the label", err)
	list, err := secrets.List(ctx, meta.ListOptions{FieldSelector: "metadata.name=b"})
	if err != nil {
		panic(err)
	}
	fmt.Printf("list by another name: %d found\n", len(list.Items))
}
GO
(go mod init guard && go get k8s.io/client-go@v0.34.1 && go mod tidy && go build -o guard .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
echo "client-go 0.34.1"
seen=$(./guard)
echo "$seen"
[ "$seen" = "update of an immutable Secret from an old version: error <nil>, the key is second
delete with another uid as precondition: error <nil>, nothing is left
delete as a dry run: error <nil>, nothing is left
delete with a finalizer: error <nil>, nothing is left
delete of the collection with the label: error <nil>, the key is first
list by another name: 1 found" ] || changed "the fake refuses other calls"
echo "as described"
