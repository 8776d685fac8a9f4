{{/* Names and labels. */}}

{{- define "fastcore.name" -}}
{{ .Values.nameOverride | default "fastcore" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* At most 45 characters: the pods of the StatefulSet `-ingest` carry its name and a hash of ten in a label of 63. `-flusher` is one longer (_validate.tpl). */}}
{{- define "fastcore.fullname" -}}
{{- $name := include "fastcore.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fastcore.version" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* As a label's value: a tag has up to 128 characters, a label 63, and it begins and ends with a letter or a digit. */}}
{{- define "fastcore.versionLabel" -}}
{{ include "fastcore.version" . | trunc 63 | trimAll "-_." }}
{{- end -}}

{{- define "fastcore.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ include "fastcore.version" . }}
{{- end -}}
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

{{/* The labels of all pods of the release. */}}
{{- define "fastcore.release" -}}
app.kubernetes.io/name: {{ include "fastcore.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Takes (dict "root" $ "name" "ingest"). */}}
{{- define "fastcore.selector" -}}
{{ include "fastcore.release" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "fastcore.labels" -}}
{{ include "fastcore.selector" . }}
app.kubernetes.io/version: {{ include "fastcore.versionLabel" .root | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
