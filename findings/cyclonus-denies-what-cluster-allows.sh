#!/usr/bin/env bash
# Tools: cyclonus 0.5.6 (judges NetworkPolicies offline), beside Kubernetes' own selector code (k8s.io/apimachinery 0.34.1).
# Expected: a policy simulator selects the pods that the cluster selects: `tier NotIn (guest)` takes in pods that have no label
#   `tier` at all, as Kubernetes documents. A file with two policies has two policies.
# Happens: cyclonus takes NotIn on a label that is missing for "no match": it says that a connection is denied which the cluster allows.
#   Of a file with several documents it reads the first one only, without a warning and with exit code 0.
# Hurts: a review by the simulator passes a rule "everyone but guests" that lets in every pod without labels; policies after the first of a
#   file are judged as if they were not there.
# Instead: write who may come in by labels that must be there (In, Exists); give the simulator one file for each policy, in a folder; try
#   what must be refused on a real engine.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/mattfenwick/cyclonus/cmd/cyclonus@v0.5.6 2>go.log || { cat go.log >&2; exit 1; }
mkdir selector
cat > selector/main.go <<'GO'
package main

import (
	"fmt"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func main() {
	selector, err := meta.LabelSelectorAsSelector(&meta.LabelSelector{MatchExpressions: []meta.LabelSelectorRequirement{
		{Key: "tier", Operator: meta.LabelSelectorOpNotIn, Values: []string{"guest"}}}})
	if err != nil {
		panic(err)
	}
	for _, set := range []labels.Set{{"app": "desk"}, {"tier": "staff"}, {"tier": "guest"}} {
		fmt.Printf("Kubernetes, pod with %v: %v\n", set, selector.Matches(set))
	}
}
GO
(cd selector && go mod init selector && go get k8s.io/apimachinery@v0.34.1 && go mod tidy && go build -o ../select .) >go.log 2>&1 || { cat go.log >&2; exit 1; }

policy() { # name, selector of the callee, selector of the caller
    cat <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: $1, namespace: calls}
spec:
  podSelector: {matchLabels: {app: $2}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: $3}]
    ports: [{protocol: TCP, port: 5061}]
YAML
}
policy staff-only recorder '{matchExpressions: [{key: tier, operator: NotIn, values: [guest]}]}' > not-in.yaml
{ policy other other '{}'; echo ---; policy nobody recorder '{matchLabels: {app: nobody}}'; } > two.yaml
mkdir folder
policy other other '{}' > folder/other.yaml
policy nobody recorder '{matchLabels: {app: nobody}}' > folder/nobody.yaml

allowed() { # policies, labels of the caller
    cat > traffic.json <<JSON
[{"Source": {"Internal": {"PodLabels": $2, "NamespaceLabels": {}, "Namespace": "calls"}, "IP": "10.0.0.1"},
  "Destination": {"Internal": {"PodLabels": {"app": "recorder"}, "NamespaceLabels": {}, "Namespace": "calls"}, "IP": "10.0.0.2"},
  "ResolvedPort": 5061, "ResolvedPortName": "", "Protocol": "TCP"}]
JSON
    bin/cyclonus analyze --policy-path "$1" --mode query-traffic --traffic-path traffic.json 2>/dev/null |
        sed -n 's/.*IS ALLOWED? *| *\([A-Z]*\).*/\1/p' | tr '[:upper:]' '[:lower:]'
}
seen=$(
    ./select
    echo "cyclonus, pod with app=desk: $(allowed not-in.yaml '{"app": "desk"}')"
    echo "cyclonus, pod with tier=staff: $(allowed not-in.yaml '{"tier": "staff"}')"
    echo "cyclonus, pod with tier=guest: $(allowed not-in.yaml '{"tier": "guest"}')"
    echo "cyclonus, two policies in a folder: $(allowed folder '{"app": "desk"}')"
    echo "cyclonus, the same in one file: $(allowed two.yaml '{"app": "desk"}')"
)
echo "cyclonus 0.5.6, k8s.io/apimachinery 0.34.1"
echo "$seen"
[ "$seen" = "Kubernetes, pod with app=desk: true
Kubernetes, pod with tier=staff: true
Kubernetes, pod with tier=guest: false
cyclonus, pod with app=desk: false
cyclonus, pod with tier=staff: true
cyclonus, pod with tier=guest: false
cyclonus, two policies in a folder: false
cyclonus, the same in one file: true" ] || changed "other answers than described"
echo "as described"
