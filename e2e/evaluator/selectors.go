package main

import (
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The matcher reads two selectors differently from Kubernetes: `key NotIn (…)` misses objects without the key, and
// `key=` (an empty value) catches them. Both are rewritten into forms on which the two agree: the latter into
// `key In ("")`; the former asks about a twin of the key which every object carries.

// Neither can be written in a label, so they meet no label of a document.
const (
	twinPrefix  = "twin:"
	absentValue = "(absent)"
)

// twins are the keys that some selector excludes values of.
type twins map[string]struct{}

// extend adds the twin of every key to an object's labels: the key's value, or one that no selector can name.
func (t twins) extend(labels map[string]string) map[string]string {
	if len(t) == 0 {
		return labels
	}
	extended := make(map[string]string, len(labels)+len(t))
	maps.Copy(extended, labels)
	for key := range t {
		if value, carried := labels[key]; carried {
			extended[twinPrefix+key] = value
		} else {
			extended[twinPrefix+key] = absentValue
		}
	}
	return extended
}

// rewriteSelectors rewrites all selectors of the policies in place.
func rewriteSelectors(policies []*networkingv1.NetworkPolicy) twins {
	found := twins{}
	for _, policy := range policies {
		found.rewrite(&policy.Spec.PodSelector)
		for _, rule := range policy.Spec.Ingress {
			found.rewritePeers(rule.From)
		}
		for _, rule := range policy.Spec.Egress {
			found.rewritePeers(rule.To)
		}
	}
	return found
}

func (t twins) rewritePeers(peers []networkingv1.NetworkPolicyPeer) {
	for _, peer := range peers {
		t.rewrite(peer.PodSelector)
		t.rewrite(peer.NamespaceSelector)
	}
}

func (t twins) rewrite(selector *metav1.LabelSelector) {
	if selector == nil {
		return
	}
	for i := range selector.MatchExpressions {
		expression := &selector.MatchExpressions[i]
		if expression.Operator == metav1.LabelSelectorOpNotIn {
			t[expression.Key] = struct{}{}
			expression.Key = twinPrefix + expression.Key
		}
	}
	for _, key := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		if selector.MatchLabels[key] == "" {
			delete(selector.MatchLabels, key)
			selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{""},
			})
		}
	}
}
