package main

import (
	"net"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// namespaceNameLabel is the label that every namespace of a real cluster carries with its own name.
const namespaceNameLabel = corev1.LabelMetadataName

// validate refuses what an API server refuses and what the matcher cannot judge. The matcher panics on some of it
// and misreads the rest, so nothing of it may get there.
func validate(document *Document) field.ErrorList {
	var faults field.ErrorList
	// A forgotten list of policies would make everything look open.
	if document.Policies == nil {
		faults = append(faults, field.Required(field.NewPath("policies"), "an empty list says that there are none"))
	}
	if document.Queries == nil {
		faults = append(faults, field.Required(field.NewPath("queries"), "an empty list says that there are none"))
	}
	for name, labels := range document.Namespaces {
		at := field.NewPath("namespaces").Key(name)
		faults = append(faults, metavalidation.ValidateLabels(labels, at)...)
		if given := labels[namespaceNameLabel]; given != name {
			faults = append(faults, field.Invalid(at.Key(namespaceNameLabel), given, "must be the namespace's name"))
		}
	}
	seen := map[string]bool{}
	for i, policy := range document.Policies {
		at := field.NewPath("policies").Index(i)
		if policy == nil {
			faults = append(faults, field.Required(at, "a NetworkPolicy"))
			continue
		}
		name := policy.Namespace + "/" + policy.Name
		if seen[name] {
			faults = append(faults, field.Duplicate(at.Child("metadata", "name"), name))
		}
		seen[name] = true
		faults = append(faults, validatePolicy(document, policy, at)...)
	}
	for i, query := range document.Queries {
		faults = append(faults, validateQuery(document, query, field.NewPath("queries").Index(i))...)
	}
	return faults
}

func validatePolicy(document *Document, policy *networkingv1.NetworkPolicy, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	if policy.APIVersion != networkingv1.SchemeGroupVersion.String() || policy.Kind != "NetworkPolicy" {
		kind := policy.APIVersion + " " + policy.Kind
		faults = append(faults, field.Invalid(at.Child("kind"), kind, "must be networking.k8s.io/v1 NetworkPolicy"))
	}
	if policy.Name == "" {
		faults = append(faults, field.Required(at.Child("metadata", "name"), "a policy has a name"))
	}
	faults = append(faults, validateNamespace(document, policy.Namespace, at.Child("metadata", "namespace"))...)
	spec := at.Child("spec")
	faults = append(faults, validateSelector(&policy.Spec.PodSelector, spec.Child("podSelector"))...)
	for i, direction := range policy.Spec.PolicyTypes {
		if direction != networkingv1.PolicyTypeIngress && direction != networkingv1.PolicyTypeEgress {
			faults = append(faults, field.NotSupported(spec.Child("policyTypes").Index(i), direction,
				[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}))
		}
	}
	for i, rule := range policy.Spec.Ingress {
		faults = append(faults, validateRule(rule.Ports, rule.From, spec.Child("ingress").Index(i), "from")...)
	}
	for i, rule := range policy.Spec.Egress {
		faults = append(faults, validateRule(rule.Ports, rule.To, spec.Child("egress").Index(i), "to")...)
	}
	return faults
}

func validateRule(
	ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, at *field.Path, side string,
) field.ErrorList {
	var faults field.ErrorList
	for i, port := range ports {
		faults = append(faults, validatePort(port, at.Child("ports").Index(i))...)
	}
	for i, peer := range peers {
		faults = append(faults, validatePeer(peer, at.Child(side).Index(i))...)
	}
	return faults
}

func validatePort(port networkingv1.NetworkPolicyPort, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	if port.Protocol != nil {
		switch *port.Protocol {
		case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		default:
			faults = append(faults, field.NotSupported(at.Child("protocol"), *port.Protocol,
				[]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
	}
	switch {
	case port.Port == nil && port.EndPort != nil:
		return append(faults, field.Required(at.Child("port"), "an endPort needs a port to start from"))
	case port.Port == nil:
		return faults
	case port.Port.Type == intstr.String:
		return append(faults, field.Invalid(at.Child("port"), port.Port.StrVal,
			"named ports are not judged: a query knows numbers only"))
	}
	faults = append(faults, validatePortNumber(port.Port.IntValue(), at.Child("port"))...)
	if port.EndPort != nil {
		faults = append(faults, validatePortNumber(int(*port.EndPort), at.Child("endPort"))...)
		if *port.EndPort < port.Port.IntVal {
			faults = append(faults, field.Invalid(at.Child("endPort"), *port.EndPort, "must not be less than port"))
		}
	}
	return faults
}

func validatePortNumber(number int, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	for _, message := range validation.IsValidPortNum(number) {
		faults = append(faults, field.Invalid(at, number, message))
	}
	return faults
}

func validatePeer(peer networkingv1.NetworkPolicyPeer, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
	switch {
	case peer.IPBlock != nil && selects:
		return append(faults, field.Forbidden(at, "an ipBlock stands alone, without selectors"))
	case peer.IPBlock != nil:
		return validateIPBlock(peer.IPBlock, at.Child("ipBlock"))
	case !selects:
		return append(faults, field.Required(at, "podSelector, namespaceSelector or ipBlock"))
	}
	faults = append(faults, validateSelector(peer.PodSelector, at.Child("podSelector"))...)
	return append(faults, validateSelector(peer.NamespaceSelector, at.Child("namespaceSelector"))...)
}

func validateIPBlock(block *networkingv1.IPBlock, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	_, whole, err := net.ParseCIDR(block.CIDR)
	if err != nil {
		return append(faults, field.Invalid(at.Child("cidr"), block.CIDR, "must be a CIDR such as 192.0.2.0/24"))
	}
	for i, except := range block.Except {
		at := at.Child("except").Index(i)
		_, part, err := net.ParseCIDR(except)
		if err != nil {
			faults = append(faults, field.Invalid(at, except, "must be a CIDR such as 192.0.2.0/28"))
			continue
		}
		wholeBits, _ := whole.Mask.Size()
		partBits, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || partBits <= wholeBits {
			faults = append(faults, field.Invalid(at, except, "must be a strict part of cidr "+block.CIDR))
		}
	}
	return faults
}

func validateSelector(selector *metav1.LabelSelector, at *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, at)
}

func validateNamespace(document *Document, name string, at *field.Path) field.ErrorList {
	if _, known := document.Namespaces[name]; !known {
		return field.ErrorList{field.Invalid(at, name, "must be a key of namespaces")}
	}
	return nil
}

func validateQuery(document *Document, query Query, at *field.Path) field.ErrorList {
	faults := validatePortNumber(query.Port, at.Child("port"))
	if query.Protocol != string(corev1.ProtocolTCP) && query.Protocol != string(corev1.ProtocolUDP) {
		faults = append(faults, field.NotSupported(at.Child("protocol"), query.Protocol,
			[]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}))
	}
	if query.From.external() && query.To.external() {
		faults = append(faults, field.Invalid(at, query.From.IP+" to "+query.To.IP,
			"no policy applies between two addresses outside of the cluster"))
	}
	faults = append(faults, validateQueryPeer(document, query.From, at.Child("from"))...)
	return append(faults, validateQueryPeer(document, query.To, at.Child("to"))...)
}

func validateQueryPeer(document *Document, peer Peer, at *field.Path) field.ErrorList {
	var faults field.ErrorList
	if net.ParseIP(peer.IP) == nil {
		faults = append(faults, field.Invalid(at.Child("ip"), peer.IP, "must be an IP address"))
	}
	if peer.external() {
		if len(peer.Labels) > 0 {
			faults = append(faults, field.Forbidden(at.Child("labels"), "an address outside of the cluster has no labels"))
		}
		return faults
	}
	faults = append(faults, validateNamespace(document, peer.Namespace, at.Child("namespace"))...)
	return append(faults, metavalidation.ValidateLabels(peer.Labels, at.Child("labels"))...)
}
