package main

import (
	"strings"
	"testing"
)

const (
	head = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"a"},"spec":`
	good = head + `{"podSelector":{},"policyTypes":["Ingress"]}}`
	ask1 = `{"from":{"namespace":"a","ip":"10.0.0.1"},"to":{"namespace":"a","ip":"10.0.0.2"},"port":1,"protocol":"TCP"}`
)

func line(policies, queries string) string {
	return `{"policies":[` + policies + `],"namespaces":{"a":{}},"queries":[` + queries + `]}`
}

func TestOneLineOfAnswersForEveryDocument(t *testing.T) {
	in := line(good, ask1+","+ask1) + "\n" + line("", "") + "\n" + line("", ask1)
	want := `[{"allowed":false,"ingress":false,"egress":true},{"allowed":false,"ingress":false,"egress":true}]` + "\n" +
		"[]\n" + `[{"allowed":true,"ingress":true,"egress":true}]` + "\n"
	var out strings.Builder
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

func TestNoInputIsNoAnswer(t *testing.T) {
	var out strings.Builder
	if err := run(strings.NewReader(""), &out); err != nil || out.Len() > 0 {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestWhatCannotBeJudgedIsRefusedWithItsPlace(t *testing.T) {
	rule := func(rule string) string {
		return line(head+`{"podSelector":{},"policyTypes":["Ingress"],"ingress":[`+rule+`]}}`, "")
	}
	selector := func(selector string) string {
		return line(head+`{"podSelector":`+selector+`,"policyTypes":["Ingress"]}}`, "")
	}
	query := func(from, to, rest string) string {
		return line("", `{"from":`+from+`,"to":`+to+`,`+rest+`}`)
	}
	const a, out, tcp = `{"namespace":"a","ip":"10.0.0.1"}`, `{"ip":"192.0.2.1"}`, `"port":1,"protocol":"TCP"`
	for _, c := range []struct{ name, document, message string }{
		{"empty line", "", "not a document"},
		{"not JSON", "{", "not a document"},
		{"two documents", line("", "") + line("", ""), "not a document"},
		{"unknown field", `{"policies":[],"namespaces":{},"querys":[]}`, `unknown field "querys"`},
		{"misspelt case", `{"Policies":[],"namespaces":{},"queries":[]}`, `unknown field "Policies"`},
		{"unknown policy field", line(head+`{"podSelector":{},"policytypes":[]}}`, ""), `unknown field "policies[0].spec.policytypes"`},
		{"repeated field", `{"policies":[],"policies":[],"namespaces":{},"queries":[]}`, `duplicate field "policies"`},
		{"no policies", `{"namespaces":{},"queries":[]}`, "policies: Required"},
		{"no queries", `{"policies":[],"namespaces":{}}`, "queries: Required"},
		{"null policy", line("null", ""), "policies[0]"},
		{"other kind", line(strings.Replace(good, "NetworkPolicy", "Pod", 1), ""), "policies[0].kind"},
		{"other version", line(strings.Replace(good, "/v1", "/v1beta1", 1), ""), "policies[0].kind"},
		{"no name", line(strings.Replace(good, `"name":"p",`, "", 1), ""), "policies[0].metadata.name"},
		{"same name twice", line(good+","+good, ""), "policies[1].metadata.name"},
		{"unknown namespace", line(strings.Replace(good, `"a"`, `"b"`, 1), ""), "policies[0].metadata.namespace"},
		{"policy type", line(head+`{"podSelector":{},"policyTypes":["Both"]}}`, ""), "policies[0].spec.policyTypes[0]"},
		{"operator", selector(`{"matchExpressions":[{"key":"k","operator":"Is"}]}`), "podSelector.matchExpressions[0].operator"},
		{"In nothing", selector(`{"matchExpressions":[{"key":"k","operator":"In"}]}`), "podSelector.matchExpressions[0].values"},
		{"empty peer", rule(`{"from":[{}]}`), "ingress[0].from[0]"},
		{"block with selector", rule(`{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"},"podSelector":{}}]}`), "ingress[0].from[0]"},
		{"cidr", rule(`{"from":[{"ipBlock":{"cidr":"10.0.0.0"}}]}`), "from[0].ipBlock.cidr"},
		{"except outside", rule(`{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["11.0.0.0/9"]}}]}`), "ipBlock.except[0]"},
		{"named port", rule(`{"ports":[{"port":"sip"}]}`), "ports[0].port"},
		{"port 0", rule(`{"ports":[{"port":0}]}`), "ports[0].port"},
		{"endPort alone", rule(`{"ports":[{"endPort":5}]}`), "ports[0].port"},
		{"endPort below", rule(`{"ports":[{"port":6,"endPort":5}]}`), "ports[0].endPort"},
		{"port protocol", rule(`{"ports":[{"protocol":"tcp"}]}`), "ports[0].protocol"},
		{"query protocol", query(a, out, `"port":1,"protocol":"tcp"`), "queries[0].protocol"},
		{"query port", query(a, out, `"port":65536,"protocol":"TCP"`), "queries[0].port"},
		{"pod without address", query(`{"namespace":"a"}`, out, tcp), "queries[0].from.ip"},
		{"both outside", query(out, out, tcp), "queries[0]"},
		{"pod of no namespace", query(a, `{"namespace":"b","ip":"10.0.0.1"}`, tcp), "queries[0].to.namespace"},
		{"labels outside", query(a, `{"labels":{"k":"v"},"ip":"10.0.0.1"}`, tcp), "queries[0].to.labels"},
		{"label value", query(a, `{"namespace":"a","labels":{"k":"(absent)"},"ip":"10.0.0.1"}`, tcp), "queries[0].to.labels"},
		{"false namespace name", `{"policies":[],"namespaces":{"a":{"kubernetes.io/metadata.name":"b"}},"queries":[]}`,
			"namespaces[a][kubernetes.io/metadata.name]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var answers strings.Builder
			err := run(strings.NewReader(line("", "")+"\n"+c.document+"\n"), &answers)
			if err == nil {
				t.Fatalf("judged: %s", answers.String())
			}
			if !strings.Contains(err.Error(), c.message) || !strings.HasPrefix(err.Error(), "document 2: ") {
				t.Errorf("got %q, want document 2 and %q", err, c.message)
			}
			if answers.String() != "[]\n" {
				t.Errorf("answered %q", answers.String())
			}
		})
	}
}
