{{/* The environment of a container: the variables of .env.example, secrets by reference. Takes (dict "root" $ "name" "ingest"). */}}

{{/* The text of a value. A whole number of a values file is a float in Helm, which would print 268435456 as 2.68435456e+08. */}}
{{- define "fastcore.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* The settings of a service as YAML: those of `env`, and of its own `env`, which win. */}}
{{- define "fastcore.settings" -}}
{{- $own := index .root.Values (ternary "migrate" .name (eq .name "topics")) | default dict -}}
{{- $settings := dict -}}
{{- range $name, $value := merge (dict) ($own.env | default dict) .root.Values.env -}}
{{- $_ := set $settings $name (include "fastcore.text" $value) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* The flusher's settings of the mailbox with reports of bounces. Each is empty for no. Takes $. */}}
{{- define "fastcore.mailbox" -}}
{{- $env := include "fastcore.settings" (dict "root" . "name" "flusher") | fromYaml -}}
{{- $env.FASTCORE_BOUNCE_MAILBOX_HOST | default "" -}}
{{- end -}}
{{- define "fastcore.mailboxAsSmtp" -}}
{{- $env := include "fastcore.settings" (dict "root" . "name" "flusher") | fromYaml -}}
{{- if and (include "fastcore.mailbox" .) (eq (toString $env.FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP) "true") -}}true{{- end -}}
{{- end -}}
{{- define "fastcore.mailboxOAuth" -}}
{{- $env := include "fastcore.settings" (dict "root" . "name" "flusher") | fromYaml -}}
{{- if include "fastcore.mailboxAsSmtp" . -}}
{{- (include "fastcore.settings" (dict "root" . "name" "notifier") | fromYaml).SMTP_OAUTH_FLOW | default "" -}}
{{- else if include "fastcore.mailbox" . -}}
{{- $env.FASTCORE_BOUNCE_MAILBOX_OAUTH_FLOW | default "" -}}
{{- end -}}
{{- end -}}
{{/* The name of the key file of a service account in secrets.mail, which the flusher mounts alone. */}}
{{- define "fastcore.mailboxKey" -}}
{{- $env := include "fastcore.settings" (dict "root" . "name" "flusher") | fromYaml -}}
{{- $file := $env.FASTCORE_BOUNCE_MAILBOX_OAUTH_SERVICE_ACCOUNT_FILE | default "" -}}
{{- if include "fastcore.mailboxAsSmtp" . -}}
{{- $file = (include "fastcore.settings" (dict "root" . "name" "notifier") | fromYaml).SMTP_OAUTH_SERVICE_ACCOUNT_FILE | default "" -}}
{{- end -}}
{{- if and (include "fastcore.files" (list . "mail")) (include "fastcore.mailboxOAuth" .) (hasPrefix "/etc/fastcore/mail/" $file) -}}
{{- base $file -}}
{{- end -}}
{{- end -}}

{{/* The groups of `secrets` with variables: which variables, and which containers get them. No service gets a secret that it does not need. */}}
{{- define "fastcore.secretGroups" -}}
database: {variables: [DATABASE_URL], for: [persister, notifier, webhooks, flusher, admin, migrate]}
owner: {variables: [FASTCORE_MIGRATION_DATABASE_URL], for: [migrate]}
site: {variables: [FASTCORE_SITE_INGEST_TOKEN], for: [ingest]}
admin: {variables: [FASTCORE_ADMIN_TOKEN], for: [admin]}
smtp: {variables: [SMTP_USER, SMTP_PASSWORD], for: [notifier{{ if include "fastcore.mailboxAsSmtp" . }}, flusher{{ end }}]}
mailbox: {variables: [FASTCORE_BOUNCE_MAILBOX_USER, FASTCORE_BOUNCE_MAILBOX_PASSWORD], for: [flusher]}
canary: {variables: [FASTCORE_CANARY_SECRET], for: [ingest, flusher]}
kafka: {variables: [KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD], for: [ingest, persister, notifier, webhooks, flusher, admin, topics]}
{{- end -}}

{{/* Where a variable of a group is: {secret: s, key: k}, or nothing. Takes (list $ "database" "DATABASE_URL"). */}}
{{- define "fastcore.secretKey" -}}
{{- $root := index . 0 -}}
{{- $variable := index . 2 -}}
{{- with get ($root.Values.secretKeys | default dict) $variable -}}
{{- toYaml . -}}
{{- else -}}
{{- with index $root.Values.secrets (index . 1) -}}
{{- toYaml (dict "secret" . "key" $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fastcore.secretEntry" -}}
{{- toYaml (dict "name" .name "valueFrom" (dict "secretKeyRef" (dict "name" .from.secret "key" .from.key))) -}}
{{- end -}}

{{/*
The variables of a container: name: entry, as YAML. A later source replaces an earlier one: secrets, env, the chart's own, secretEnv. So each name
occurs once: with two entries of a name, server-side apply (Helm 4) refuses the object.
*/}}
{{- define "fastcore.variables" -}}
{{- $root := .root -}}
{{- $full := include "fastcore.fullname" $root -}}
{{- $own := index $root.Values (ternary "migrate" .name (eq .name "topics")) | default dict -}}
{{- $settings := include "fastcore.settings" . | fromYaml -}}
{{- $entries := dict -}}
{{- range $group, $used := include "fastcore.secretGroups" $root | fromYaml -}}
{{- if and (has $.name $used.for) (or (ne $group "kafka") (hasPrefix "SASL" ($settings.KAFKA_SECURITY_PROTOCOL | default ""))) -}}
{{- range $variable := $used.variables -}}
{{- with include "fastcore.secretKey" (list $root $group $variable) | fromYaml -}}
{{- $_ := set $entries $variable (include "fastcore.secretEntry" (dict "name" $variable "from" .) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if or $root.Values.secrets.authorities (hasKey ($root.Values.secretKeys | default dict) "authorities/kafka.pem") -}}
{{- $_ := set $settings "KAFKA_SSL_CA_FILE" ($settings.KAFKA_SSL_CA_FILE | default "/etc/fastcore/authorities/kafka.pem") -}}
{{- end -}}
{{- if not (has .name (list "migrate" "topics")) -}}
{{- $_ := set $settings "FASTCORE_HTTP_HOST" "0.0.0.0" -}}
{{- end -}}
{{- if and $root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) -}}
{{- $_ := set $settings "FASTCORE_SITES_FILE" "/etc/fastcore/sites/sites.toml" -}}
{{- end -}}
{{- if eq .name "flusher" -}}
{{- if not $settings.FASTCORE_FLUSHER_GATEWAY_URL -}}
{{- $_ := set $settings "FASTCORE_FLUSHER_GATEWAY_URL" (printf "http://%s-ingest:%s" $full (include "fastcore.port" "ingest")) -}}
{{- end -}}
{{- if include "fastcore.files" (list $root "audit") -}}
{{- $_ := set $settings "FASTCORE_AUDIT_SIGNING_KEY_FILE" "/etc/fastcore/audit/key" -}}
{{- end -}}
{{- if ($root.Values.flusher.checkpoint | default dict).enabled -}}
{{- $_ := set $settings "FASTCORE_AUDIT_CHECKPOINT_FILE" "/var/lib/fastcore/audit/checkpoint" -}}
{{- end -}}
{{- end -}}
{{- if eq .name "ingest" -}}
{{- $_ := set $settings "FASTCORE_INGEST_SPOOL_FOLDER" "/var/lib/fastcore/spool" -}}
{{- if gt (int $root.Values.ingest.workers) 1 -}}
{{- $_ := set $settings "FASTCORE_INGEST_WORKERS" (include "fastcore.text" $root.Values.ingest.workers) -}}
{{- end -}}
{{- end -}}
{{- if eq .name "admin" -}}
{{- $_ := set $settings "FASTCORE_ADMIN_SERVICE_URLS" (include "fastcore.serviceUrls" $root) -}}
{{- $_ := set $settings "FASTCORE_ADMIN_GATEWAY_URLS" (printf "http://%s-ingest-each:%s" $full (include "fastcore.port" "ingest")) -}}
{{- end -}}
{{- $secretEnv := merge (dict) ($own.secretEnv | default dict) -}}
{{- if and (eq .name "flusher") (include "fastcore.mailboxAsSmtp" $root) -}}
{{- range $name, $value := include "fastcore.settings" (dict "root" $root "name" "notifier") | fromYaml -}}
{{- if and (regexMatch "^SMTP_(USER|OAUTH_.*)$" $name) (not (hasKey $settings $name)) -}}
{{- $_ := set $settings $name $value -}}
{{- end -}}
{{- end -}}
{{- range $name, $from := $root.Values.notifier.secretEnv -}}
{{- if and (regexMatch "^SMTP_(USER|PASSWORD|OAUTH_.*)$" $name) (not (hasKey $secretEnv $name)) -}}
{{- $_ := set $secretEnv $name $from -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $settings -}}
{{- if ne $value "" -}}
{{- $_ := set $entries $name (dict "name" $name "value" $value) -}}
{{- end -}}
{{- end -}}
{{- range $name, $from := $secretEnv -}}
{{- $_ := set $entries $name (include "fastcore.secretEntry" (dict "name" $name "from" $from) | fromYaml) -}}
{{- end -}}
{{- toYaml $entries -}}
{{- end -}}

{{/* The addresses of all services: name=url, with commas. */}}
{{- define "fastcore.serviceUrls" -}}
{{- $urls := list -}}
{{- range $name := list "ingest" "persister" "notifier" "webhooks" "flusher" "admin" -}}
{{- $urls = append $urls (printf "%s=http://%s-%s:%s" $name (include "fastcore.fullname" $) $name (include "fastcore.port" $name)) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{/* The `env` of a container. Entries of extraEnv come last, in their order, so that they can use $(NAME) of what stands before them. */}}
{{- define "fastcore.env" -}}
{{- $own := index .root.Values (ternary "migrate" .name (eq .name "topics")) | default dict -}}
{{- $extra := list -}}
{{- range $entry := concat (.root.Values.extraEnv | default list) ($own.extraEnv | default list) -}}
{{- $others := list -}}
{{- range $extra }}{{ if ne .name $entry.name }}{{ $others = append $others . }}{{ end }}{{ end -}}
{{- $extra = append $others $entry -}}
{{- end -}}
{{- $entries := include "fastcore.variables" . | fromYaml -}}
{{- range $extra }}{{ $_ := unset $entries .name }}{{ end -}}
{{- $env := list -}}
{{- range $entries }}{{ $env = append $env . }}{{ end -}}
{{- toYaml (concat $env $extra) -}}
{{- end -}}

{{- define "fastcore.envFrom" -}}
{{- $own := index .root.Values (ternary "migrate" .name (eq .name "topics")) | default dict -}}
{{- with concat (.root.Values.extraEnvFrom | default list) ($own.extraEnvFrom | default list) -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
