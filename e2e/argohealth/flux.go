package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// unstructuredOf decodes an object the Kubernetes way: generations are integers, which encoding/json makes floats.
func unstructuredOf(object map[string]any) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	live := &unstructured.Unstructured{}
	return live, live.UnmarshalJSON(text)
}

// fluxHealth evaluates the expressions for the object's kind; none for it is an error.
func fluxHealth(checks []kustomize.CustomHealthCheck, live *unstructured.Unstructured) (Health, error) {
	for _, check := range checks {
		if check.APIVersion != live.GetAPIVersion() || check.Kind != live.GetKind() {
			continue
		}
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return Health{}, fmt.Errorf("healthCheckExprs of %s: %w", check.Kind, err)
		}
		result, err := evaluator.Evaluate(context.Background(), live)
		if err != nil {
			// Flux waits on: what cannot be evaluated is not known to be current.
			return Health{Status: status.UnknownStatus.String(), Message: err.Error()}, nil
		}
		return Health{Status: result.Status.String(), Message: result.Message}, nil
	}
	return Health{}, fmt.Errorf("no healthCheckExprs for %s %s", live.GetAPIVersion(), live.GetKind())
}

// kstatusOf is what any tool finds that knows nothing of the kind but Kubernetes' conventions.
func kstatusOf(live *unstructured.Unstructured) (Health, error) {
	result, err := status.Compute(live)
	if err != nil {
		return Health{}, fmt.Errorf("kstatus: %w", err)
	}
	return Health{Status: result.Status.String(), Message: result.Message}, nil
}
