{{/* The labels of every definition. The version says to the chart subrosa whether they are new enough. */}}
{{- define "subrosa-crds.labels" -}}
app.kubernetes.io/name: subrosa-crds
app.kubernetes.io/part-of: subrosa
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}
