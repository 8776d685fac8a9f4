{{/* What a schema cannot say, because it compares values. Each problem is a line that begins with the key and says what to do. */}}

{{/* Whether a container gets a variable, from whatever source. Takes (list given "SMTP_HOST"). */}}
{{- define "fastcore.hasVariable" -}}
{{- $given := index . 0 -}}
{{- $name := index . 1 -}}
{{- if include "fastcore.envFrom" $given -}}true{{- end -}}
{{- range include "fastcore.env" $given | fromYamlArray -}}
{{- if has .name (list $name (printf "%s_FILE" $name)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fastcore.problems" -}}
{{- $values := .Values }}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" (include "fastcore.fullname" .)) }}
fullnameOverride: {{ include "fastcore.fullname" . }} cannot be the name of a Service, which begins with a letter and has no dot: give the release such a name, or set fullnameOverride
{{- end }}
{{- $services := list "ingest" "persister" "notifier" "webhooks" "flusher" "admin" }}
{{- $lacking := list }}
{{- range $name := $services }}
{{- if not (include "fastcore.hasVariable" (list (dict "root" $ "name" $name) "KAFKA_BOOTSTRAP_SERVERS")) }}{{ $lacking = append $lacking $name }}{{ end }}
{{- end }}
{{- with $lacking }}
env.KAFKA_BOOTSTRAP_SERVERS is missing for {{ join ", " . }}: name the brokers, host:port separated by commas
{{- end }}
{{- /* A rule of a network policy without a port would allow all of them, and KEDA needs the servers themselves. */}}
{{- $unknown := list }}
{{- range $name := append $services "migrate" }}
{{- if and (not (has $name $lacking)) (not (include "fastcore.ports" (dict "root" $ "name" $name "place" "kafka") | fromYamlArray)) }}{{ $unknown = append $unknown $name }}{{ end }}
{{- end }}
{{- if and $unknown (not $lacking) $values.networkPolicy.enabled }}
networkPolicy.kafka.ports is empty, and {{ join ", " $unknown }} have no KAFKA_BOOTSTRAP_SERVERS in `env`: list the ports of the brokers
{{- end }}
{{- if and $values.keda.enabled (not (include "fastcore.settings" (dict "root" . "name" "persister") | fromYaml).KAFKA_BOOTSTRAP_SERVERS) }}
env.KAFKA_BOOTSTRAP_SERVERS is missing for KEDA: it cannot read another source
{{- end }}
{{- if and ($values.flusher.checkpoint | default dict).enabled (gt (len (include "fastcore.fullname" .)) 44) }}
fullnameOverride: {{ include "fastcore.fullname" . }} has {{ len (include "fastcore.fullname" .) }} characters, and flusher.checkpoint.enabled allows 44: choose a shorter name
{{- end }}
{{- range $variable, $what := dict "SMTP_HOST" "name the mail server" "FROM_EMAIL" "the address that emails come from" "ADMIN_EMAIL" "the addresses of your team, separated by commas" }}
{{- if and $values.notifier.replicas (not (include "fastcore.hasVariable" (list (dict "root" $ "name" "notifier") $variable))) }}
notifier.env.{{ $variable }} is missing: {{ $what }}
{{- end }}
{{- end }}
{{- /* Secrets that a service does not start without. */}}
{{- range $group, $used := include "fastcore.secretGroups" . | fromYaml }}
{{- if has $group (list "database" "owner" "admin" "kafka") }}
{{- range $variable := $used.variables }}
{{- $lacking := list }}
{{- range $name := $used.for }}
{{- $given := dict "root" $ "name" $name }}
{{- $protocol := (include "fastcore.settings" $given | fromYaml).KAFKA_SECURITY_PROTOCOL | default "" }}
{{- if and (or (ne $group "kafka") (hasPrefix "SASL" $protocol)) (or (not (has $name (list "migrate" "topics"))) $values.migrate.enabled) (not (include "fastcore.hasVariable" (list $given $variable))) }}
{{- $lacking = append $lacking $name }}
{{- end }}
{{- end }}
{{- with $lacking }}
secrets.{{ $group }} is empty, and {{ join ", " . }} need {{ $variable }}: name the Secret, or write secretKeys.{{ $variable }}: {secret: its name, key: its key}{{ if eq $group "kafka" }}. Without SASL set env.KAFKA_SECURITY_PROTOCOL{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- /* Names of our own that nothing reads. Others are `env:` references of the sites file. `env` is checked by the schema. */}}
{{- range $name, $known := include "fastcore.knownVariables" . | fromYaml }}
{{- range $key, $names := dict "secretEnv" (keys (index $values $name "secretEnv" | default dict)) "extraEnv" (index $values $name "extraEnv" | default list) }}
{{- range $names }}
{{- $variable := kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") }}
{{- if and (regexMatch "^(FASTCORE|KAFKA|SMTP)_" $variable) (not (has (trimSuffix "_FILE" $variable) $known)) (not (has $variable $known)) (not (contains (printf "env:%s" $variable) $values.sites)) }}
{{ $name }}.{{ $key }}.{{ $variable }}: {{ $name }} has no such setting (.env.example)
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $ingest := dict "root" . "name" "ingest" }}
{{- if not (or $values.sites (include "fastcore.hasVariable" (list $ingest "FASTCORE_SITE_INGEST_TOKEN")) (include "fastcore.hasVariable" (list $ingest "FASTCORE_SITES_FILE"))) }}
secrets.site is empty, and `sites` too: name the Secret with the token of your website, or write the sites file into `sites`
{{- end }}
{{- /* The spool, the 64 MiB of damaged files that are kept, and a tenth of the volume for its file system. */}}
{{- $spool := (include "fastcore.settings" $ingest | fromYaml).FASTCORE_INGEST_SPOOL_MAX_BYTES | default "268435456" }}
{{- $size := $values.ingest.spool.size }}
{{- if gt (add (int64 $spool) 67108864) (div (mul (include "fastcore.bytes" $size | int64) 9) 10) }}
ingest.spool.size: {{ $size }} is too small for a spool of {{ $spool }} bytes (FASTCORE_INGEST_SPOOL_MAX_BYTES) with 64 MiB for damaged files and a tenth for the file system: use a larger volume, or a smaller spool
{{- end }}
{{- if $values.keda.enabled }}
{{- range $name := list "persister" "notifier" "webhooks" "flusher" }}
{{- $bounds := index $values.keda $name }}
{{- if gt (int $bounds.minReplicas) (int $bounds.maxReplicas) }}
keda.{{ $name }}.minReplicas: {{ int $bounds.minReplicas }} is more than the maxReplicas, {{ int $bounds.maxReplicas }}
{{- end }}
{{- end }}
{{- end }}
{{- if and ($values.flusher.checkpoint | default dict).enabled (not (include "fastcore.files" (list . "audit"))) }}
flusher.checkpoint.enabled needs secrets.audit: only the sealed audit log has checkpoints (docs/audit.md)
{{- end }}
{{- if and ($values.httpRoute | default dict).enabled (not $values.httpRoute.parentRefs) }}
httpRoute.parentRefs is empty: name the Gateway, for example [{name: public, namespace: gateways}]
{{- end }}
{{- end -}}

{{- define "fastcore.validate" -}}
{{- $lines := list -}}
{{- range concat (include "fastcore.problems" . | splitList "\n") (include "fastcore.immutable" . | splitList "\n") -}}
{{- if trim . }}{{ $lines = append $lines (trimSuffix " " .) }}{{ end -}}
{{- end -}}
{{- if $lines -}}
{{- printf "the values cannot be installed:\n%s" (join "\n" $lines) | fail -}}
{{- end -}}
{{- end -}}
