package main

import (
	"errors"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	kjson "sigs.k8s.io/json"
)

// Document is one world and the questions asked about it.
type Document struct {
	// Policies are whole NetworkPolicy objects, as an API server would accept them.
	Policies []*networkingv1.NetworkPolicy `json:"policies"`
	// Namespaces maps every namespace to its labels. `kubernetes.io/metadata.name` is added, as an API server does.
	Namespaces map[string]map[string]string `json:"namespaces"`
	Queries    []Query                      `json:"queries"`
}

// Query asks whether From may open a connection to a port of To.
type Query struct {
	From     Peer   `json:"from"`
	To       Peer   `json:"to"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

// Peer is a pod (with a namespace) or an address outside of the cluster (without). A pod needs its address too: an
// ipBlock applies to pods as well.
type Peer struct {
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	IP        string            `json:"ip"`
}

func (p Peer) external() bool {
	return p.Namespace == ""
}

// Answer is the verdict on one query. Ingress speaks for the policies of the destination, Egress for those of the
// source; a connection needs both.
type Answer struct {
	Allowed bool `json:"allowed"`
	Ingress bool `json:"ingress"`
	Egress  bool `json:"egress"`
}

// decode reads a document as an API server with strict field validation would: an unknown, misspelt or repeated
// field would silently change what a policy says.
func decode(line []byte) (*Document, error) {
	document := &Document{}
	faults, err := kjson.UnmarshalStrict(line, document)
	if err != nil {
		return nil, fmt.Errorf("not a document: %w", err)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("not a document: %w", errors.Join(faults...))
	}
	applyDefaults(document)
	if faults := validate(document); len(faults) > 0 {
		return nil, faults.ToAggregate()
	}
	return document, nil
}

// applyDefaults fills in what an API server would have filled in before any network plugin saw the objects.
func applyDefaults(document *Document) {
	for name, labels := range document.Namespaces {
		if labels == nil {
			labels = map[string]string{}
			document.Namespaces[name] = labels
		}
		if _, given := labels[namespaceNameLabel]; !given {
			labels[namespaceNameLabel] = name
		}
	}
	for _, policy := range document.Policies {
		if policy == nil || len(policy.Spec.PolicyTypes) > 0 {
			continue
		}
		policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(policy.Spec.Egress) > 0 {
			policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}
