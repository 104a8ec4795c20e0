package main

import (
	"fmt"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
)

// judge answers the queries of a decoded document. It rewrites the document's selectors, so a document is judged once.
func judge(document *Document) (answers []Answer, err error) {
	// The matcher panics where it has no answer. Validation leaves no known way there; a new one must not pass for
	// a verdict.
	defer func() {
		if cause := recover(); cause != nil {
			answers, err = nil, fmt.Errorf("the matcher gave up: %v", cause)
		}
	}()

	absent := rewriteSelectors(document.Policies)
	// Not simplified: merging rules is an optimisation of its display, and a judge should not depend on it.
	policies := matcher.BuildNetworkPolicies(false, document.Policies)
	namespaces := make(map[string]map[string]string, len(document.Namespaces))
	for name, labels := range document.Namespaces {
		namespaces[name] = absent.extend(labels)
	}
	peer := func(p Peer) *matcher.TrafficPeer {
		if p.external() {
			return &matcher.TrafficPeer{IP: p.IP}
		}
		return &matcher.TrafficPeer{IP: p.IP, Internal: &matcher.InternalPeer{
			Namespace:       p.Namespace,
			NamespaceLabels: namespaces[p.Namespace],
			PodLabels:       absent.extend(p.Labels),
		}}
	}

	answers = make([]Answer, 0, len(document.Queries))
	for _, query := range document.Queries {
		verdict := policies.IsTrafficAllowed(&matcher.Traffic{
			Source:       peer(query.From),
			Destination:  peer(query.To),
			ResolvedPort: query.Port,
			Protocol:     corev1.Protocol(query.Protocol),
		})
		answers = append(answers, Answer{
			Allowed: verdict.IsAllowed(),
			Ingress: verdict.Ingress.IsAllowed(),
			Egress:  verdict.Egress.IsAllowed(),
		})
	}
	return answers, nil
}
