package main

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestSelectorsMeanWhatTheyMeanToKubernetes compares verdicts with Kubernetes' own reading of selectors, in each of
// the places where a policy has one.
func TestSelectorsMeanWhatTheyMeanToKubernetes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	places := map[string]func(selector json.RawMessage, labels map[string]string) (*Document, Answer){
		"target":    selectTarget,
		"pod":       selectPeerPod,
		"namespace": selectPeerNamespace,
	}
	matched := 0
	const cases = 3000
	for range cases {
		selector := randomSelector(random)
		object := randomLabels(random)
		native, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		want := native.Matches(labels.Set(object))
		if want {
			matched++
		}
		written, err := json.Marshal(selector)
		if err != nil {
			t.Fatal(err)
		}
		for place, build := range places {
			document, whenMatched := build(written, object)
			applyDefaults(document)
			if faults := validate(document); len(faults) > 0 {
				t.Fatal(faults.ToAggregate())
			}
			answers, err := judge(document)
			if err != nil {
				t.Fatal(err)
			}
			if got := answers[0] == whenMatched; got != want {
				t.Fatalf("%s selector %s on %v: matched %t, Kubernetes says %t", place, written, object, got, want)
			}
		}
	}
	if matched < cases/10 || matched > cases*9/10 {
		t.Errorf("%d of %d cases matched: too one-sided to tell much", matched, cases)
	}
}

func randomLabels(random *rand.Rand) map[string]string {
	object := map[string]string{}
	for _, key := range []string{"a", "b", "c"} {
		if random.IntN(2) == 0 {
			object[key] = randomValue(random)
		}
	}
	return object
}

func randomValue(random *rand.Rand) string {
	return []string{"", "x", "y"}[random.IntN(3)]
}

func randomKey(random *rand.Rand) string {
	return []string{"a", "b", "c"}[random.IntN(3)]
}

func randomSelector(random *rand.Rand) *metav1.LabelSelector {
	selector := &metav1.LabelSelector{}
	if random.IntN(3) == 0 {
		selector.MatchLabels = map[string]string{randomKey(random): randomValue(random)}
	}
	for range random.IntN(3) {
		requirement := metav1.LabelSelectorRequirement{
			Key: randomKey(random),
			Operator: []metav1.LabelSelectorOperator{
				metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn,
				metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist,
			}[random.IntN(4)],
		}
		if requirement.Operator == metav1.LabelSelectorOpIn || requirement.Operator == metav1.LabelSelectorOpNotIn {
			for range 1 + random.IntN(2) {
				requirement.Values = append(requirement.Values, randomValue(random))
			}
		}
		selector.MatchExpressions = append(selector.MatchExpressions, requirement)
	}
	return selector
}

// world has one policy in namespace "to" and one question: may the only pod of "from" reach the only pod of "to"?
func world(spec string, namespaceLabels, fromLabels, toLabels map[string]string) *Document {
	document := &Document{
		Namespaces: map[string]map[string]string{"from": namespaceLabels, "to": {}},
		Queries: []Query{{
			From: Peer{Namespace: "from", Labels: fromLabels, IP: "10.0.0.1"},
			To:   Peer{Namespace: "to", Labels: toLabels, IP: "10.0.0.2"},
			Port: 1, Protocol: "TCP",
		}},
	}
	policies := `[{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",` +
		`"metadata":{"name":"one","namespace":"to"},"spec":` + spec + `}]`
	if err := json.Unmarshal([]byte(policies), &document.Policies); err != nil {
		panic(err)
	}
	return document
}

func selectTarget(selector json.RawMessage, object map[string]string) (*Document, Answer) {
	spec := `{"podSelector":` + string(selector) + `,"policyTypes":["Ingress"]}`
	return world(spec, map[string]string{}, nil, object), noIngress
}

func selectPeerPod(selector json.RawMessage, object map[string]string) (*Document, Answer) {
	spec := `{"podSelector":{},"policyTypes":["Ingress"],` +
		`"ingress":[{"from":[{"namespaceSelector":{},"podSelector":` + string(selector) + `}]}]}`
	return world(spec, map[string]string{}, object, nil), open
}

func selectPeerNamespace(selector json.RawMessage, object map[string]string) (*Document, Answer) {
	spec := `{"podSelector":{},"policyTypes":["Ingress"],` +
		`"ingress":[{"from":[{"namespaceSelector":` + string(selector) + `}]}]}`
	// Cloned: a namespace gains its name as a label.
	return world(spec, maps.Clone(object), nil, nil), open
}
