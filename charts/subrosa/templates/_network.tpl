{{/* Who reads metrics. */}}
{{- define "subrosa.metricsIngress" -}}
# Metrics. The probes come from the node, which network plugins let in anyway.
- ports:
  - {port: http, protocol: TCP}
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The API server, DNS and Vault: what the operator, the destroyer and the granter speak to. */}}
{{- define "subrosa.serversEgress" -}}
{{- with .Values.networkPolicy -}}
# The API server.
- ports:
  {{- range .apiServer.ports }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .apiServer.cidrs }}
  to:
  {{- range . }}
  - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
# DNS.
- ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
  {{- with .dns.to }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
# Vault.
- ports:
  {{- range .vault.ports }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .vault.to }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
