{{/*
What would go wrong later is said before anything is installed. `lookup` finds nothing where Helm talks to no
cluster (`helm template`, a client-side dry run), so nothing is refused there.
*/}}
{{- define "subrosa.checks" -}}
{{- include "subrosa.checkRelease" . }}
{{- if .Values.crds.check }}
{{- include "subrosa.checkAPI" . }}
{{- end }}
{{- end }}

{{/* Roles and admission policies have fixed names: a second release would take them from the first. */}}
{{- define "subrosa.checkRelease" -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "subrosa" }}
{{- $annotations := dig "metadata" "annotations" dict $role }}
{{- $name := get $annotations "meta.helm.sh/release-name" }}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" }}
{{- if and $name (or (ne $name .Release.Name) (ne $namespace .Release.Namespace)) }}
{{- fail (printf "Subrosa is already installed in this cluster, as release %q in namespace %q, and there can be one only: two operators would undo each other's work. Upgrade that one (helm upgrade %s --namespace %s …), or uninstall it first." $name $namespace $name $namespace) }}
{{- end }}
{{- end }}

{{/* Without its API the operator would start and wait for ever. */}}
{{- define "subrosa.checkAPI" -}}
{{- $how := printf "helm upgrade --install subrosa-crds charts/subrosa-crds --namespace %s --create-namespace" .Release.Namespace }}
{{- $skip := "If they come in the same step, as with Argo CD or Flux, set crds.check to false." }}
{{- if lookup "v1" "Namespace" "" "kube-system" }}
{{- range list "trustdomains" "externalparties" "retentionpolicies" "channels" "legalholds" "destructions" "approvals" }}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" (printf "%s.subrosa.dev" .) }}
{{- if not $crd }}
{{- fail (printf "The API of Subrosa is not installed: there is no CustomResourceDefinition %s.subrosa.dev. Install it first: %s. %s" . $how $skip) }}
{{- end }}
{{- $version := dig "metadata" "labels" "app.kubernetes.io/version" "" $crd }}
{{- if and $version (lt ((semver $version).Compare (semver $.Chart.AppVersion)) 0) }}
{{- fail (printf "The API of Subrosa is older than this chart: CustomResourceDefinition %s.subrosa.dev is of version %s, and %s is needed. Upgrade it first: %s. %s" . $version $.Chart.AppVersion $how $skip) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
