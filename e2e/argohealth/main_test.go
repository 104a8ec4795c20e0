package main

import (
	"os"
	"strings"
	"testing"
)

func TestAScriptHasWhatArgoGivesItAndNoMore(t *testing.T) {
	object := map[string]any{"kind": "K", "list": []any{"a", "b"}, "number": float64(3), "flag": true}
	for script, expected := range map[string]string{
		`return {status = "Healthy", message = obj.kind .. #obj.list .. obj.number .. tostring(obj.flag)}`: "K23true",
		`table.sort(obj.list); return {status = "Healthy", message = obj.list[1]}`:                         "a",
		`return {status = "Healthy", message = tostring(string) .. tostring(math) .. tostring(io)}`:        "nilnilnil",
	} {
		health, err := runScript(script, object)
		if err != nil || health.Status != "Healthy" || health.Message != expected {
			t.Errorf("%s: %+v, %v; expected %q", script, health, err, expected)
		}
	}
}

func TestAMistakeInAScriptIsNoHealth(t *testing.T) {
	for script, expected := range map[string]string{
		`return "Healthy"`:                  "no table",
		`return {status = "healthy"}`:       "none of",
		`return {status = string.rep("a")}`: "non-table object",
		`while true do end`:                 "deadline",
		`return {`:                          "syntax error",
	} {
		health, err := runScript(script, nil)
		if err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %+v, %v; expected an error with %q", script, health, err, expected)
		}
	}
}

func TestAnApplicationIsAsHealthyAsArgoFoundIt(t *testing.T) {
	script, err := os.ReadFile("../../examples/gitops/argocd/health/argoproj.io/Application/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]any{"status": map[string]any{"health": map[string]any{"status": "Degraded"}}}
	for expected, object := range map[string]map[string]any{"Degraded": judged, "Progressing": {"status": map[string]any{}}} {
		health, err := runScript(string(script), object)
		if err != nil || health.Status != expected {
			t.Errorf("%v: %+v, %v; expected %s", object, health, err, expected)
		}
	}
}

func TestAKindWithoutAScriptOrExpressionsIsRefused(t *testing.T) {
	object := map[string]any{"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel"}
	key := "resource.customizations.health.subrosa.dev_Channel"
	if _, err := argoHealth(nil, object); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("without a script: %v", err)
	}
	live, err := unstructuredOf(object)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fluxHealth(nil, live); err == nil || !strings.Contains(err.Error(), "Channel") {
		t.Errorf("without expressions: %v", err)
	}
}
