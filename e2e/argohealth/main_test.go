package main

import (
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const channelKey = "resource.customizations.health.subrosa.dev_Channel"

func object(t *testing.T, fields map[string]any) *unstructured.Unstructured {
	t.Helper()
	live, err := unstructuredOf(fields)
	if err != nil {
		t.Fatal(err)
	}
	return live
}

func channel(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return object(t, map[string]any{"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "list": []any{"b", "a"}})
}

func TestTheScriptOfTheConfigMapDecides(t *testing.T) {
	script := `table.sort(obj.list); return {status = "Healthy", message = obj.kind .. obj.list[1] .. tostring(string)}`
	health, err := argoHealth(map[string]string{channelKey: script}, channel(t))
	if err != nil || health.Status != "Healthy" || health.Message != "Channelanil" {
		t.Errorf("%+v, %v", health, err)
	}
}

func TestAMistakeInAScriptIsNeverHealthy(t *testing.T) {
	for _, script := range []string{
		`return "Healthy"`,
		`return {status = "healthy"}`,
		`return {status = string.rep("a")}`,
		`while true do end`,
		`return {`,
	} {
		health, err := argoHealth(map[string]string{channelKey: script}, channel(t))
		if err == nil && health.Status != "Unknown" {
			t.Errorf("%s: %+v", script, health)
		}
	}
}

func TestAnApplicationIsAsHealthyAsArgoFoundIt(t *testing.T) {
	script, err := os.ReadFile("../../examples/gitops/argocd/health/argoproj.io/Application/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]string{"resource.customizations.health.argoproj.io_Application": string(script)}
	for expected, status := range map[string]map[string]any{
		"Degraded":    {"health": map[string]any{"status": "Degraded"}},
		"Progressing": {},
	} {
		application := map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "status": status}
		health, err := argoHealth(config, object(t, application))
		if err != nil || health.Status != expected {
			t.Errorf("%v: %+v, %v; expected %s", status, health, err, expected)
		}
	}
}

func TestAKindWithoutAScriptOrExpressionsIsRefused(t *testing.T) {
	if _, err := argoHealth(nil, channel(t)); err == nil || !strings.Contains(err.Error(), channelKey) {
		t.Errorf("without a script: %v", err)
	}
	if _, err := fluxHealth(nil, channel(t)); err == nil || !strings.Contains(err.Error(), "Channel") {
		t.Errorf("without expressions: %v", err)
	}
}
