#!/usr/bin/env bash
# Tool: OpenFGA 1.22.1 (its server as a Go module, with its store in memory), whose model of rights is written anew: without the relation `trainee`, or with one that
#   everybody (`user:*`) can no longer be given; a later model has it again.
# Expected: rights whose relation was taken out of the model have ended (or the model is refused while such rights are there); who
#   is to have them under the later model is written anew.
# Happens: the models are taken without a word about the entries in use. Check and ListUsers say that nobody has the right, and the entry lies in the
#   store: with the next model that has a relation of that name, years later or by a roll-back, it counts again, as does that for everybody.
#   Read shows it meanwhile, as one entry among those in use; Expand answers that there is no such relation.
# Why: Check asks for entries that fit the model in use; WriteAuthorizationModel looks at the text of the model alone, entries are never removed with it.
# Hurts: trainees of 2024 hear the recordings of 2027, when the role is brought back; a recording that was once open to all for a training is open again. A review
#   by ListUsers in the time between, and a test of the model without the role, name nobody.
# Instead: before a relation or a type of user leaves the model, read all entries page by page and delete those (deletion works afterwards too); never use a name
#   again, as in field numbers; compare what Read has with what the model knows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"

	v1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
	"github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/storage/memory"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	fga := server.MustNewServerWithOpts(server.WithDatastore(memory.New()))
	defer fga.Close()
	store := must(fga.CreateStore(ctx, &v1.CreateStoreRequest{Name: "calls"})).GetId()
	model := func(agents, others, hear string) {
		rules := "model\n  schema 1.1\ntype user\ntype recording\n  relations\n    define agent: " + agents + "\n" + others + "    define can_hear: " + hear
		types := transformer.MustTransformDSLToProto(rules).GetTypeDefinitions()
		must(fga.WriteAuthorizationModel(ctx, &v1.WriteAuthorizationModelRequest{StoreId: store, SchemaVersion: "1.1", TypeDefinitions: types}))
	}
	wide := func() { model("[user, user:*]", "    define trainee: [user]\n", "agent or trainee") }
	narrow := func() { model("[user]", "", "agent") }
	allow := func(user, relation, recording string) {
		must(fga.Write(ctx, &v1.WriteRequest{StoreId: store, Writes: &v1.WriteRequestWrites{
			TupleKeys: []*v1.TupleKey{{User: user, Relation: relation, Object: "recording:" + recording}}}}))
	}
	hears := func(user, recording string) bool {
		return must(fga.Check(ctx, &v1.CheckRequest{StoreId: store,
			TupleKey: &v1.CheckRequestTupleKey{User: "user:" + user, Relation: "can_hear", Object: "recording:" + recording}})).GetAllowed()
	}
	listed := func(recording string) int {
		return len(must(fga.ListUsers(ctx, &v1.ListUsersRequest{StoreId: store, Object: &v1.Object{Type: "recording", Id: recording}, Relation: "can_hear",
			UserFilters: []*v1.UserTypeFilter{{Type: "user"}}})).GetUsers())
	}
	state := func(label string) {
		_, err := fga.Expand(ctx, &v1.ExpandRequest{StoreId: store, TupleKey: &v1.ExpandRequestTupleKey{Relation: "trainee", Object: "recording:one"}})
		known := "known"
		if err != nil {
			known = "unknown"
		}
		fmt.Printf("%s: kim hears one: %v (listed %d), alex hears training: %v (listed %d), trainee is %s to Expand, entries in Read: %d\n", label, hears("kim", "one"), listed("one"),
			hears("alex", "training"), listed("training"), known, len(must(fga.Read(ctx, &v1.ReadRequest{StoreId: store})).GetTuples()))
	}

	wide()
	allow("user:kim", "trainee", "one")
	allow("user:*", "agent", "training")
	state("with trainees and everybody")
	narrow()
	state("without them")
	wide()
	state("with them again")
	narrow()
	must(fga.Write(ctx, &v1.WriteRequest{StoreId: store, Deletes: &v1.WriteRequestDeletes{TupleKeys: []*v1.TupleKeyWithoutCondition{
		{User: "user:kim", Relation: "trainee", Object: "recording:one"}, {User: "user:*", Relation: "agent", Object: "recording:training"}}}}))
	wide()
	state("deleted while without, with them again")
}
GO
(go mod init rights && go get github.com/openfga/openfga@v1.22.1 && go mod tidy && go build -o rights .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./rights)
echo "$seen"
[ "$seen" = "with trainees and everybody: kim hears one: true (listed 1), alex hears training: true (listed 1), trainee is known to Expand, entries in Read: 2
without them: kim hears one: false (listed 0), alex hears training: false (listed 0), trainee is unknown to Expand, entries in Read: 2
with them again: kim hears one: true (listed 1), alex hears training: true (listed 1), trainee is known to Expand, entries in Read: 2
deleted while without, with them again: kim hears one: false (listed 0), alex hears training: false (listed 0), trainee is known to Expand, entries in Read: 0" ] || changed "other rights"
echo "as described"
