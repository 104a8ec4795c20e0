{{/* The labels that a release adds to those of the generated objects. */}}
{{- define "subrosa.releaseLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}

{{/* All labels of an object. */}}
{{- define "subrosa.labels" -}}
app.kubernetes.io/name: subrosa
app.kubernetes.io/part-of: subrosa
{{ include "subrosa.releaseLabels" . }}
{{- end }}

{{/* By which the operator's pods are found. They never change, for a Deployment's selector cannot. */}}
{{- define "subrosa.selectorLabels" -}}
app.kubernetes.io/name: subrosa
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{/* The same for the destroyer's pod. */}}
{{- define "subrosa.destroyerSelectorLabels" -}}
app.kubernetes.io/name: subrosa
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: destroyer
{{- end }}

{{/* The same for the granter's pod. */}}
{{- define "subrosa.granterSelectorLabels" -}}
app.kubernetes.io/name: subrosa
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: granter
{{- end }}

{{- define "subrosa.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default "subrosa" }}
{{- end }}

{{- define "subrosa.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* What the standard "restricted" of Pod Security asks of a pod, and of a container. */}}
{{- define "subrosa.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "subrosa.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
