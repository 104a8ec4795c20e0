package main

import (
	"context"
	"fmt"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/health"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
)

// argoNamespace is where Argo CD's ConfigMap is looked for; any would do.
const argoNamespace = "argocd"

// argoHealth is what Argo CD says of an object with this argocd-cm: its own settings, script machine and health, of
// which only the API server that holds the ConfigMap is played. A kind of which it would say nothing, because there is
// no script for it, is an error: that would hide a mistake.
func argoHealth(config map[string]string, live *unstructured.Unstructured) (Health, error) {
	overrides, err := overridesOf(config)
	if err != nil {
		return Health{}, err
	}
	found, err := health.GetResourceHealth(live, lua.ResourceHealthOverrides(overrides))
	if err != nil {
		return Health{}, err
	}
	if found == nil {
		kind := live.GroupVersionKind().GroupKind()
		return Health{}, fmt.Errorf("argocd-cm has no resource.customizations.health.%s_%s", kind.Group, kind.Kind)
	}
	return Health{Status: string(found.Status), Message: found.Message}, nil
}

// overridesOf reads argocd-cm as Argo CD does.
func overridesOf(config map[string]string) (lua.ResourceHealthOverrides, error) {
	within, cancel := context.WithCancel(context.Background())
	defer cancel()
	part := map[string]string{"app.kubernetes.io/part-of": "argocd"}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: argoNamespace, Labels: part}
	}
	server := fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: meta(common.ArgoCDConfigMapName), Data: config},
		&corev1.Secret{ObjectMeta: meta(common.ArgoCDSecretName)},
	)
	return settings.NewSettingsManager(within, server, argoNamespace).GetResourceOverrides()
}
