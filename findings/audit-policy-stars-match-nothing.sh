#!/usr/bin/env bash
# Tool: the audit policy of the Kubernetes API server (k8s.io/apiserver 0.37.2, its own code that loads a policy and decides the level of a request).
# Expected: `*` stands for all in each field of a rule, as in RBAC, or is refused; a rule for a resource covers its subresources; one for the Secret
#   voice-key covers whatever reads or deletes it; a field that is misspelled is refused, as kubectl does.
# Happens: `*` is a wildcard in group, resources and nonResourceURLs. In verbs, namespaces, users, userGroups and resourceNames it is a name that nobody has: the
#   policy loads, and the rule matches nothing, with no warning. `pods` does not cover exec, `serviceaccounts` not the making of tokens,
#   and a rule by resourceNames no list, watch or deletecollection of all, which hand out or delete the same Secret. A misspelled field is one line of the server's log and
#   then as if it was not there: `None` for `resource: [events]` is None for everything, and the rules behind it never count.
# Hurts: the answer to "who read the key of the recordings, who opened a shell in the player, who deleted the Channel" is not in the audit log; nobody
#   sees it until it is asked for, as the server starts and other entries are there.
# Instead: leave a field out to mean all of it; write `pods` and `pods/*`, no resourceNames in rules that log; end with a rule `level: Metadata` without anything else; search
#   the log of the API server for "lenient decoding"; after each change do what has to be logged once, and look for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat >main.go <<'GO'
package main

import (
	"fmt"

	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

type request struct{ verb, resource, subresource, name string }

// What the server does with a request of a pod's ServiceAccount in the namespace calls, by a policy of these rules.
func decide(rules string, asked request) string {
	loaded, err := policy.LoadPolicyFromBytes([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [" + rules + "]"))
	if err != nil {
		return "the policy is refused"
	}
	level := policy.NewPolicyRuleEvaluator(loaded).EvaluatePolicyRule(authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "system:serviceaccount:calls:player", Groups: []string{"system:serviceaccounts:calls"}},
		Verb: asked.verb, Namespace: "calls", Resource: asked.resource, Subresource: asked.subresource, Name: asked.name, ResourceRequest: true,
	}).Level
	if level == audit.LevelNone {
		return "not logged"
	}
	return "logged"
}

func main() {
	read := request{"get", "secrets", "", "voice-key"}
	exec := request{"create", "pods", "exec", "player"}
	token := request{"create", "serviceaccounts", "token", "player"}
	named := `resources: [{group: "", resources: [secrets], resourceNames: [voice-key]}]`
	for _, one := range []struct {
		rule  string
		asked request
	}{
		{`resources: [{group: "*", resources: ["*"]}]`, read},
		{`verbs: ["*"]`, read},
		{`namespaces: ["*"]`, read},
		{`users: ["system:serviceaccount:calls:*"]`, read},
		{`userGroups: ["*"]`, read},
		{`resources: [{group: "", resources: [secrets], resourceNames: ["*"]}]`, read},
		{named, read},
		{named, request{"list", "secrets", "", ""}},
		{named, request{"watch", "secrets", "", ""}},
		{named, request{"deletecollection", "secrets", "", ""}},
		{`resources: [{group: "", resources: [pods]}]`, exec},
		{`resources: [{group: "", resources: ["pods/*"]}]`, exec},
		{`resources: [{group: "", resources: [serviceaccounts]}]`, token},
	} {
		fmt.Printf("%s, %s: %s\n", one.rule, one.asked, decide("{level: Metadata, "+one.rule+"}", one.asked))
	}
	for _, first := range []string{`resources: [{group: "", resources: [events]}]`, `resource: [{group: "", resources: [events]}]`} {
		fmt.Printf("None for %s, else Metadata, %s: %s\n", first, read, decide("{level: None, "+first+"}, {level: Metadata}", read))
	}
}
GO
(go mod init rules && go get k8s.io/apiserver/pkg/audit/policy@v0.37.2 && go build -ldflags '-s -w' -o rules .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
go version -m rules | grep -o 'k8s.io/apiserver.v[0-9.]*' | tr '\t' ' '
seen=$(./rules 2>server.log)
echo "$seen"
grep -o 'lenient decoding: .*' server.log
[ "$seen" = 'resources: [{group: "*", resources: ["*"]}], {get secrets  voice-key}: logged
verbs: ["*"], {get secrets  voice-key}: not logged
namespaces: ["*"], {get secrets  voice-key}: not logged
users: ["system:serviceaccount:calls:*"], {get secrets  voice-key}: not logged
userGroups: ["*"], {get secrets  voice-key}: not logged
resources: [{group: "", resources: [secrets], resourceNames: ["*"]}], {get secrets  voice-key}: not logged
resources: [{group: "", resources: [secrets], resourceNames: [voice-key]}], {get secrets  voice-key}: logged
resources: [{group: "", resources: [secrets], resourceNames: [voice-key]}], {list secrets  }: not logged
resources: [{group: "", resources: [secrets], resourceNames: [voice-key]}], {watch secrets  }: not logged
resources: [{group: "", resources: [secrets], resourceNames: [voice-key]}], {deletecollection secrets  }: not logged
resources: [{group: "", resources: [pods]}], {create pods exec player}: not logged
resources: [{group: "", resources: ["pods/*"]}], {create pods exec player}: logged
resources: [{group: "", resources: [serviceaccounts]}], {create serviceaccounts token player}: not logged
None for resources: [{group: "", resources: [events]}], else Metadata, {get secrets  voice-key}: logged
None for resource: [{group: "", resources: [events]}], else Metadata, {get secrets  voice-key}: not logged' ] || changed "other requests are logged"
[ "$(grep -c 'lenient decoding' server.log)" = 1 ] || changed "the misspelled field is told otherwise"
echo "as described"
