#!/usr/bin/env bash
# Tool: redactionprocessor 0.165.1 of the OpenTelemetry Collector (contrib), run as the Collector runs it, with a pattern of card numbers in
#   blocked_values, with its other defaults and then with redact_all_types.
# Expected: what the pattern finds is masked wherever a span or a log record holds it.
# Happens: in a log record's body it is: in nested maps, lists and numbers too. Among attributes only texts are; lists, maps and numbers need
#   redact_all_types, off by default. In neither case is anything masked in a span's status message, in the names of span, event and scope
#   and in the attributes of links. The status message is the text of an error: where an SDK writes one error both as the
#   event "exception" and as the status, the event is masked and the same words stay beside it.
# Hurts: "card 4111… declined", or a telephone number in an error text, is in the tracing backend in clear, next to a masked copy that shows to
#   whoever looks that redaction works.
# Instead: redact_all_types: true, and another processor that rewrites or drops status.message, names and links; keep personal data out of error
#   texts; send a span with the number in each place through the Collector as it is set up, and search what comes out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > redact_test.go <<'GO'
package redact

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/redactionprocessor"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
)

const (
	card   = "4111111111111111"
	number = 4111111111111111
)

// fill puts the card into attributes of each kind.
func fill(to pcommon.Map) {
	to.PutStr("text", card)
	to.PutInt("number", number)
	to.PutEmptySlice("list").AppendEmpty().SetStr(card)
	to.PutEmptyMap("map").PutStr("a", card)
}

type place struct{ name, left string }

func attributes(from pcommon.Map) (places []place) {
	for _, key := range []string{"text", "number", "list", "map"} {
		value, _ := from.Get(key)
		places = append(places, place{key + " attribute", value.AsString()})
	}
	return places
}

func tell(label string, places []place) {
	var masked, stays []string
	for _, it := range places {
		if strings.Contains(it.left, card) {
			stays = append(stays, it.name)
		} else {
			masked = append(masked, it.name)
		}
	}
	fmt.Printf("%s: masked: %s; in clear: %s\n", label, strings.Join(masked, ", "), strings.Join(stays, ", "))
}

func TestRedact(t *testing.T) {
	ctx := context.Background()
	factory := redactionprocessor.NewFactory()
	settings := processortest.NewNopSettings(factory.Type())
	for _, all := range []bool{false, true} {
		config := factory.CreateDefaultConfig().(*redactionprocessor.Config)
		config.AllowAllKeys = true
		config.BlockedValues = []string{"4[0-9]{15}"}
		config.RedactAllTypes = all
		spans, records := new(consumertest.TracesSink), new(consumertest.LogsSink)
		traces, err := factory.CreateTraces(ctx, settings, config, spans)
		logs, other := factory.CreateLogs(ctx, settings, config, records)
		if err := errors.Join(err, other, traces.Start(ctx, componenttest.NewNopHost()), logs.Start(ctx, componenttest.NewNopHost())); err != nil {
			t.Fatal(err)
		}

		data := ptrace.NewTraces()
		scope := data.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
		scope.Scope().SetName(card)
		span := scope.Spans().AppendEmpty()
		span.SetName("pay " + card)
		fill(span.Attributes())
		// As an SDK writes them for one error.
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage("card " + card + " declined")
		event := span.Events().AppendEmpty()
		event.SetName("exception")
		event.Attributes().PutStr("exception.message", "card "+card+" declined")
		span.Events().AppendEmpty().SetName(card)
		span.Links().AppendEmpty().Attributes().PutStr("call", card)
		if err := traces.ConsumeTraces(ctx, data); err != nil {
			t.Fatal(err)
		}
		scope = spans.AllTraces()[0].ResourceSpans().At(0).ScopeSpans().At(0)
		span = scope.Spans().At(0)
		message, _ := span.Events().At(0).Attributes().Get("exception.message")
		link, _ := span.Links().At(0).Attributes().Get("call")
		tell(fmt.Sprintf("span, redact_all_types %t", all), append(attributes(span.Attributes()), place{"exception.message", message.AsString()}, place{"status message", span.Status().Message()},
			place{"span name", span.Name()}, place{"event name", span.Events().At(1).Name()}, place{"scope name", scope.Scope().Name()}, place{"link attribute", link.AsString()}))

		log := plog.NewLogs()
		record := log.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		fill(record.Body().SetEmptyMap())
		fill(record.Attributes())
		if err := logs.ConsumeLogs(ctx, log); err != nil {
			t.Fatal(err)
		}
		record = records.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		var body []place
		for _, it := range attributes(record.Body().Map()) {
			body = append(body, place{"body's " + strings.TrimSuffix(it.name, " attribute"), it.left})
		}
		tell(fmt.Sprintf("log record, redact_all_types %t", all), append(attributes(record.Attributes()), body...))
	}
}
GO
(go mod init redact && go get github.com/open-telemetry/opentelemetry-collector-contrib/processor/redactionprocessor@v0.165.1 && go mod tidy && go test -c -o redact .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
go list -m github.com/open-telemetry/opentelemetry-collector-contrib/processor/redactionprocessor
seen=$(./redact | grep -v '^PASS')
echo "$seen"
[ "$seen" = "span, redact_all_types false: masked: text attribute, exception.message; in clear: number attribute, list attribute, map attribute, status message, span name, event name, scope name, link attribute
log record, redact_all_types false: masked: text attribute, body's text, body's number, body's list, body's map; in clear: number attribute, list attribute, map attribute
span, redact_all_types true: masked: text attribute, number attribute, list attribute, map attribute, exception.message; in clear: status message, span name, event name, scope name, link attribute
log record, redact_all_types true: masked: text attribute, number attribute, list attribute, map attribute, body's text, body's number, body's list, body's map; in clear: " ] || changed "other places are masked"
echo "as described"
