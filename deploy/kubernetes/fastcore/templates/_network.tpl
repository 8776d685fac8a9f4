{{/* The ports that a service may connect to at a place: those that its settings name, and those of the values. Takes (dict "root" $ "name" "ingest" "place" "kafka"). */}}
{{- define "fastcore.ports" -}}
{{- $settings := include "fastcore.settings" . | fromYaml -}}
{{- $ports := list -}}
{{- if eq .place "kafka" -}}
{{- range splitList "," ($settings.KAFKA_BOOTSTRAP_SERVERS | default "") -}}
{{- with trim . }}{{ $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "9092") }}{{ end -}}
{{- end -}}
{{- else if eq .place "smtp" -}}
{{- $ports = append $ports ($settings.SMTP_PORT | default "587") -}}
{{- else if eq .place "imap" -}}
{{- $ports = append $ports ($settings.FASTCORE_BOUNCE_MAILBOX_PORT | default "993") -}}
{{- else if eq .place "telemetry" -}}
{{- range $variable := list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" -}}
{{- with get $settings $variable -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (index .root.Values.networkPolicy .place).ports }}{{ $ports = append $ports (include "fastcore.text" .) }}{{ end -}}
{{- $numbers := list -}}
{{- range uniq $ports }}{{ $numbers = append $numbers (int .) }}{{ end -}}
{{- toYaml $numbers -}}
{{- end -}}

{{/* A rule that allows connections to all services of the release. */}}
{{- define "fastcore.toServices" -}}
- ports:
    {{- range $name := list "ingest" "persister" "notifier" "webhooks" "flusher" "admin" }}
    - {port: {{ include "fastcore.port" $name }}, protocol: TCP}
    {{- end }}
  to:
    - podSelector:
        matchLabels: {{- include "fastcore.release" . | nindent 10 }}
{{- end -}}
