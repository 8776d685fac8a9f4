{{/* Names and labels. */}}

{{- define "fastcore.fullname" -}}
{{- if contains "fastcore" .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-fastcore" .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fastcore.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "fastcore.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "fastcore.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* The port of each service, as in `python -m services`. */}}
{{- define "fastcore.port" -}}
{{ index (dict "ingest" 8001 "persister" 8002 "notifier" 8003 "flusher" 8004 "admin" 8005 "webhooks" 8006) . }}
{{- end -}}

{{/* Takes (dict "root" $ "name" "ingest"). */}}
{{- define "fastcore.selector" -}}
app.kubernetes.io/name: fastcore
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "fastcore.labels" -}}
{{ include "fastcore.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}
