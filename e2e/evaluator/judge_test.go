package main

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// pod and outside spell the two kinds of peers in a test's queries.
func pod(namespace, app, ip string) Peer {
	return Peer{Namespace: namespace, Labels: map[string]string{"app": app}, IP: ip}
}

func outside(ip string) Peer {
	return Peer{IP: ip}
}

var (
	web    = pod("shop", "web", "10.0.0.1")
	db     = pod("shop", "db", "10.0.0.2")
	caller = pod("voice", "caller", "10.0.1.1")
	dialer = pod("voice", "dialer", "10.0.1.2")
	crm    = pod("office", "crm", "10.0.2.1")
	abroad = outside("203.0.113.9")
	exempt = outside("203.0.113.129")
)

func testNamespaces() map[string]map[string]string {
	return map[string]map[string]string{
		"shop":   {"tier": "inner"},
		"voice":  {"tier": "edge"},
		"office": {"tier": "edge", "audited": "yes"},
	}
}

// policy completes a spec, given as YAML, to an object of the namespace.
func policy(t *testing.T, name, namespace, spec string) json.RawMessage {
	t.Helper()
	document := strings.Join([]string{
		"apiVersion: networking.k8s.io/v1",
		"kind: NetworkPolicy",
		"metadata: {name: " + name + ", namespace: " + namespace + "}",
		"spec:",
		"  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  "),
	}, "\n")
	object, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		t.Fatalf("policy %s: %v", name, err)
	}
	return object
}

// ask sends queries through the whole program and returns its answers.
func ask(t *testing.T, policies []json.RawMessage, queries ...Query) []Answer {
	t.Helper()
	line, err := json.Marshal(map[string]any{
		"policies": policies, "namespaces": testNamespaces(), "queries": queries,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(strings.NewReader(string(line)+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	var answers []Answer
	if err := json.Unmarshal([]byte(out.String()), &answers); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if len(answers) != len(queries) {
		t.Fatalf("%d answers to %d queries", len(answers), len(queries))
	}
	return answers
}

var (
	open       = Answer{Allowed: true, Ingress: true, Egress: true}
	noIngress  = Answer{Allowed: false, Ingress: false, Egress: true}
	noEgress   = Answer{Allowed: false, Ingress: true, Egress: false}
	closedBoth = Answer{Allowed: false, Ingress: false, Egress: false}
)

type expectation struct {
	from, to Peer
	port     int
	protocol string
	want     Answer
}

func check(t *testing.T, policies []json.RawMessage, expected ...expectation) {
	t.Helper()
	queries := make([]Query, 0, len(expected))
	for _, e := range expected {
		queries = append(queries, Query{From: e.from, To: e.to, Port: e.port, Protocol: e.protocol})
	}
	for i, got := range ask(t, policies, queries...) {
		if e := expected[i]; got != e.want {
			t.Errorf("%v -> %v %s/%d: got %+v, want %+v", e.from, e.to, e.protocol, e.port, got, e.want)
		}
	}
}

func TestWithoutPoliciesEverythingIsOpen(t *testing.T) {
	check(t, []json.RawMessage{},
		expectation{web, db, 5432, "TCP", open},
		expectation{caller, db, 53, "UDP", open},
		expectation{abroad, web, 443, "TCP", open},
		expectation{web, abroad, 443, "TCP", open},
	)
}

func TestDefaultDenyClosesTheDirectionsItNames(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		in, out    Answer // to a pod of the namespace, from a pod of the namespace
		within     Answer
	}{
		{"ingress", "{podSelector: {}, policyTypes: [Ingress]}", noIngress, open, noIngress},
		{"egress", "{podSelector: {}, policyTypes: [Egress]}", open, noEgress, noEgress},
		{"both", "{podSelector: {}, policyTypes: [Ingress, Egress]}", noIngress, noEgress, closedBoth},
		{"rules that list nothing", "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []}",
			noIngress, noEgress, closedBoth},
		{"types by default", "{podSelector: {}}", noIngress, open, noIngress},
		{"types by default with egress rules", "{podSelector: {}, egress: [{ports: [{port: 1}]}]}",
			noIngress, noEgress, closedBoth},
		{"egress rules without their type", "{podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]}",
			noIngress, open, noIngress},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, []json.RawMessage{policy(t, "deny", "shop", c.spec)},
				expectation{caller, web, 443, "TCP", c.in},
				expectation{abroad, web, 443, "TCP", c.in},
				expectation{web, caller, 443, "TCP", c.out},
				expectation{web, abroad, 443, "TCP", c.out},
				expectation{web, db, 443, "TCP", c.within},
				expectation{caller, crm, 443, "TCP", open},
			)
		})
	}
}

func TestDenyOfOnePodLeavesTheOthersOpen(t *testing.T) {
	check(t, []json.RawMessage{
		policy(t, "deny", "shop", "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}"),
	},
		expectation{caller, db, 5432, "TCP", noIngress},
		expectation{caller, web, 443, "TCP", open},
	)
}

func TestAConnectionNeedsBothEnds(t *testing.T) {
	deny := "{podSelector: {}, policyTypes: [Ingress, Egress]}"
	outOfVoice := policy(t, "out", "voice", `
podSelector: {matchLabels: {app: caller}}
policyTypes: [Egress]
egress:
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {app: web}}}]
  ports: [{port: 443, protocol: TCP}]`)
	intoShop := policy(t, "in", "shop", `
podSelector: {matchLabels: {app: web}}
policyTypes: [Ingress]
ingress:
- from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: voice}}, podSelector: {matchLabels: {app: caller}}}]
  ports: [{port: 443, protocol: TCP}]`)
	denied := []json.RawMessage{policy(t, "deny", "shop", deny), policy(t, "deny", "voice", deny)}

	check(t, append(denied[:2:2], outOfVoice), expectation{caller, web, 443, "TCP", noIngress})
	check(t, append(denied[:2:2], intoShop), expectation{caller, web, 443, "TCP", noEgress})
	check(t, append(denied[:2:2], outOfVoice, intoShop),
		expectation{caller, web, 443, "TCP", open},
		expectation{web, caller, 443, "TCP", closedBoth},
		expectation{caller, web, 443, "UDP", closedBoth},
		expectation{caller, web, 444, "TCP", closedBoth},
		expectation{dialer, web, 443, "TCP", closedBoth},
		expectation{caller, db, 443, "TCP", closedBoth},
	)
}

func TestSelectorsInOnePeerAreAnded(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "in", "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress:
- from: [{namespaceSelector: {matchLabels: {tier: edge}}, podSelector: {matchLabels: {app: caller}}}]`)},
		expectation{caller, web, 1, "TCP", open},
		expectation{dialer, web, 1, "TCP", noIngress},
		expectation{crm, web, 1, "TCP", noIngress},
		expectation{pod("shop", "caller", "10.0.0.9"), web, 1, "TCP", noIngress},
		expectation{abroad, web, 1, "TCP", noIngress},
	)
}

func TestPeersOfARuleAreOred(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "in", "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress:
- from:
  - namespaceSelector: {matchLabels: {audited: "yes"}}
  - podSelector: {matchLabels: {app: web}}`)},
		expectation{crm, db, 1, "TCP", open},
		expectation{web, db, 1, "TCP", open},
		expectation{caller, db, 1, "TCP", noIngress},
		// A podSelector alone means the policy's own namespace.
		expectation{pod("voice", "web", "10.0.1.9"), db, 1, "TCP", noIngress},
	)
}

func TestAnEmptyNamespaceSelectorIsEveryPodAndNobodyOutside(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "in", "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{from: [{namespaceSelector: {}}]}]`)},
		expectation{caller, web, 1, "TCP", open},
		expectation{web, db, 1, "TCP", open},
		expectation{abroad, web, 1, "TCP", noIngress},
	)
}

func TestARuleWithoutPeersIsForEveryone(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "in", "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{ports: [{port: 443}]}]`)},
		expectation{caller, web, 443, "TCP", open},
		expectation{abroad, web, 443, "TCP", open},
		expectation{abroad, web, 80, "TCP", noIngress},
	)
	check(t, []json.RawMessage{policy(t, "all", "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{}]`)}, expectation{abroad, web, 9, "UDP", open})
}

func TestEndPortIsARangeWithBothEnds(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "media", "voice", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{ports: [{port: 10000, endPort: 10010, protocol: UDP}, {port: 5061}]}]`)},
		expectation{web, caller, 9999, "UDP", noIngress},
		expectation{web, caller, 10000, "UDP", open},
		expectation{web, caller, 10005, "UDP", open},
		expectation{web, caller, 10010, "UDP", open},
		expectation{web, caller, 10011, "UDP", noIngress},
		expectation{web, caller, 10005, "TCP", noIngress},
		expectation{web, caller, 5061, "TCP", open},
		expectation{web, caller, 5061, "UDP", noIngress},
	)
}

func TestAPortOfAProtocolAloneIsAllItsPorts(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "udp", "voice", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{ports: [{protocol: UDP}]}]`)},
		expectation{web, caller, 65535, "UDP", open},
		expectation{web, caller, 65535, "TCP", noIngress},
	)
}

func TestIPBlock(t *testing.T) {
	block := func(direction, side string) []json.RawMessage {
		return []json.RawMessage{policy(t, "block", "shop", `
podSelector: {}
policyTypes: [`+direction+`]
`+strings.ToLower(direction)+`:
- `+side+`: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}, {ipBlock: {cidr: 10.0.1.0/24}}]
  ports: [{port: 443}]`)}
	}
	check(t, block("Egress", "to"),
		expectation{web, abroad, 443, "TCP", open},
		expectation{web, abroad, 80, "TCP", noEgress},
		expectation{web, exempt, 443, "TCP", noEgress},
		expectation{web, outside("198.51.100.1"), 443, "TCP", noEgress},
		expectation{web, outside("2001:db8::1"), 443, "TCP", noEgress},
		// A pod with an address of the block is covered as well.
		expectation{web, caller, 443, "TCP", open},
		expectation{web, crm, 443, "TCP", noEgress},
	)
	check(t, block("Ingress", "from"),
		expectation{abroad, web, 443, "TCP", open},
		expectation{exempt, web, 443, "TCP", noIngress},
		expectation{caller, web, 443, "TCP", open},
		expectation{crm, web, 443, "TCP", noIngress},
	)
}

func TestIPv6Block(t *testing.T) {
	check(t, []json.RawMessage{policy(t, "block", "shop", `
podSelector: {}
policyTypes: [Egress]
egress: [{to: [{ipBlock: {cidr: "2001:db8::/32"}}]}]`)},
		expectation{web, outside("2001:db8:1::2"), 443, "TCP", open},
		expectation{web, outside("2001:db9::2"), 443, "TCP", noEgress},
		expectation{web, abroad, 443, "TCP", noEgress},
	)
}

func TestPoliciesAddUp(t *testing.T) {
	allow := func(name, port string) json.RawMessage {
		return policy(t, name, "shop", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{from: [{namespaceSelector: {}}], ports: [{port: `+port+`}]}]`)
	}
	check(t, []json.RawMessage{
		policy(t, "deny", "shop", "{podSelector: {}, policyTypes: [Ingress]}"), allow("a", "1"), allow("b", "2"),
	},
		expectation{caller, web, 1, "TCP", open},
		expectation{caller, web, 2, "TCP", open},
		expectation{caller, web, 3, "TCP", noIngress},
	)
}
