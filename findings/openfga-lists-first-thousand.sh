#!/usr/bin/env bash
# Tool: OpenFGA 1.22.1 (its server as a Go module, with its store in memory and default settings but for longer deadlines): 1,200 agents may each hear one recording, and one
#   agent may hear 1,200 recordings.
# Expected: the lists of who may hear a recording (ListUsers) and of what somebody may hear (ListObjects) are complete, or say that they are
#   not: with an error, a mark or a token for the next page, as Read and ReadChanges have.
# Happens: each list has 1,000 entries, a part that nothing tells from the whole; with the default deadline of three seconds a busy server ends the list even earlier (367 seen). Of a recording that
#   everybody may hear but one person, ListUsers names everybody (`user:*`), and the person who may not nowhere. Check answers all of it
#   rightly, and StreamedListObjects has no such limit.
# Hurts: the yearly review of who may hear a patient's calls lacks 200 people; a clean-up that asks for what a leaver could see, or a search
#   that filters by this list, misses 200 recordings; all work in tests with some dozens.
# Instead: take a list of exactly the limit as cut; StreamedListObjects for objects; for users Read of the tuples page by page, then Check of each
#   person; raise the limits and the deadlines of the server above what can be.
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
	"time"

	v1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
	"github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/storage/memory"
)

const rules = `model
  schema 1.1
type user
type recording
  relations
    define listener: [user, user:*]
    define blocked: [user]
    define can_hear: listener but not blocked`

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	fga := server.MustNewServerWithOpts(server.WithDatastore(memory.New()), server.WithListUsersDeadline(5*time.Minute), server.WithListObjectsDeadline(5*time.Minute))
	defer fga.Close()
	store := must(fga.CreateStore(ctx, &v1.CreateStoreRequest{Name: "calls"})).GetId()
	model := transformer.MustTransformDSLToProto(rules)
	must(fga.WriteAuthorizationModel(ctx, &v1.WriteAuthorizationModelRequest{StoreId: store, SchemaVersion: "1.1", TypeDefinitions: model.GetTypeDefinitions()}))
	allow := func(user, relation, object string) {
		must(fga.Write(ctx, &v1.WriteRequest{StoreId: store, Writes: &v1.WriteRequestWrites{TupleKeys: []*v1.TupleKey{{User: user, Relation: relation, Object: object}}}}))
	}
	for number := range 1200 {
		allow(fmt.Sprintf("user:agent%d", number), "listener", "recording:one")
		allow("user:lead", "listener", fmt.Sprintf("recording:%d", number))
	}
	allow("user:*", "listener", "recording:training")
	allow("user:alice", "blocked", "recording:training")

	users := func(recording string) []*v1.User {
		return must(fga.ListUsers(ctx, &v1.ListUsersRequest{StoreId: store, Object: &v1.Object{Type: "recording", Id: recording}, Relation: "can_hear",
			UserFilters: []*v1.UserTypeFilter{{Type: "user"}}})).GetUsers()
	}
	hears := func(user, recording string) bool {
		return must(fga.Check(ctx, &v1.CheckRequest{StoreId: store, TupleKey: &v1.CheckRequestTupleKey{User: user, Relation: "can_hear", Object: recording}})).GetAllowed()
	}
	count := 0
	for number := range 1200 {
		if hears(fmt.Sprintf("user:agent%d", number), "recording:one") {
			count++
		}
	}
	fmt.Printf("who may hear one recording: ListUsers %d, Check %d\n", len(users("one")), count)
	objects := must(fga.ListObjects(ctx, &v1.ListObjectsRequest{StoreId: store, Type: "recording", Relation: "can_hear", User: "user:lead"})).GetObjects()
	fmt.Printf("what the lead may hear: ListObjects %d of 1200\n", len(objects))
	for _, user := range users("training") {
		fmt.Printf("the training: ListUsers names %v, may alice hear it: %v\n", user.GetWildcard() != nil, hears("user:alice", "recording:training"))
	}
}
GO
(go mod init lists && go get github.com/openfga/openfga@v1.22.1 && go mod tidy && go build -o lists .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./lists)
echo "$seen"
[ "$seen" = "who may hear one recording: ListUsers 1000, Check 1200
what the lead may hear: ListObjects 1000 of 1200
the training: ListUsers names true, may alice hear it: false" ] || changed "other lists"
echo "as described"
