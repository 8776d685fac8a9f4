{{/* The environment of a pod: the variables of .env.example, secrets by reference. Takes (dict "root" $ "name" "ingest"). */}}

{{/* The settings of each Secret, and the services that get them. No service gets a secret that it does not need. */}}
{{- define "fastcore.secretEnv" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $given := list -}}
{{- if and $secrets.kafka (ne .name "migrate") -}}
{{- $given = append $given (list $secrets.kafka "KAFKA_SASL_USERNAME" "KAFKA_SASL_PASSWORD") -}}
{{- end -}}
{{- if not (has .name (list "ingest" "topics")) -}}
{{- $given = append $given (list $secrets.database "DATABASE_URL") -}}
{{- end -}}
{{- if eq .name "migrate" -}}
{{- $given = append $given (list $secrets.owner "FASTCORE_MIGRATION_DATABASE_URL") -}}
{{- end -}}
{{- if and (eq .name "ingest") $secrets.site -}}
{{- $given = append $given (list $secrets.site "FASTCORE_SITE_INGEST_TOKEN") -}}
{{- end -}}
{{- if eq .name "admin" -}}
{{- $given = append $given (list $secrets.admin "FASTCORE_ADMIN_TOKEN") -}}
{{- end -}}
{{- if and (eq .name "notifier") $secrets.smtp -}}
{{- $given = append $given (list $secrets.smtp "SMTP_USER" "SMTP_PASSWORD") -}}
{{- end -}}
{{- if and (eq .name "flusher") $secrets.mailbox -}}
{{- $given = append $given (list $secrets.mailbox "FASTCORE_BOUNCE_MAILBOX_USER" "FASTCORE_BOUNCE_MAILBOX_PASSWORD") -}}
{{- end -}}
{{- if and (eq .name "flusher") $secrets.smtp (include "fastcore.mailboxAsSmtp" .root) -}}
{{- $given = append $given (list $secrets.smtp "SMTP_USER" "SMTP_PASSWORD") -}}
{{- end -}}
{{- range $one := $given -}}
{{- range $key := rest $one }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ first $one }}, key: {{ $key }}}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The flusher's settings of the mailbox with reports of bounces. Each is empty for no. Takes $. */}}
{{- define "fastcore.mailbox" -}}
{{- $env := merge (dict) (.Values.flusher.env | default dict) .Values.env -}}
{{- $env.FASTCORE_BOUNCE_MAILBOX_HOST | default "" -}}
{{- end -}}
{{- define "fastcore.mailboxAsSmtp" -}}
{{- $env := merge (dict) (.Values.flusher.env | default dict) .Values.env -}}
{{- if and (include "fastcore.mailbox" .) (eq (toString $env.FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP) "true") -}}true{{- end -}}
{{- end -}}
{{- define "fastcore.mailboxOAuth" -}}
{{- $env := merge (dict) (.Values.flusher.env | default dict) .Values.env -}}
{{- if include "fastcore.mailboxAsSmtp" . -}}
{{- .Values.notifier.env.SMTP_OAUTH_FLOW | default "" -}}
{{- else if include "fastcore.mailbox" . -}}
{{- $env.FASTCORE_BOUNCE_MAILBOX_OAUTH_FLOW | default "" -}}
{{- end -}}
{{- end -}}
{{/* The name of the key file of a service account in secrets.mail, which the flusher mounts alone. */}}
{{- define "fastcore.mailboxKey" -}}
{{- $env := merge (dict) (.Values.flusher.env | default dict) .Values.env -}}
{{- $file := $env.FASTCORE_BOUNCE_MAILBOX_OAUTH_SERVICE_ACCOUNT_FILE | default "" -}}
{{- if include "fastcore.mailboxAsSmtp" . -}}
{{- $file = .Values.notifier.env.SMTP_OAUTH_SERVICE_ACCOUNT_FILE | default "" -}}
{{- end -}}
{{- if and .Values.secrets.mail (include "fastcore.mailboxOAuth" .) (hasPrefix "/etc/fastcore/mail/" $file) -}}
{{- base $file -}}
{{- end -}}
{{- end -}}

{{- define "fastcore.env" -}}
{{- $full := include "fastcore.fullname" .root -}}
{{- $own := index .root.Values .name | default dict -}}
{{- $env := merge (dict) ($own.env | default dict) .root.Values.env -}}
{{- $_ := required "env.KAFKA_BOOTSTRAP_SERVERS is missing: name the brokers, host:port separated by commas" $env.KAFKA_BOOTSTRAP_SERVERS -}}
{{- if .root.Values.secrets.authorities -}}
{{- $_ := set $env "KAFKA_SSL_CA_FILE" ($env.KAFKA_SSL_CA_FILE | default "/etc/fastcore/authorities/kafka.pem") -}}
{{- end -}}
{{- if not (has .name (list "migrate" "topics")) -}}
{{- $_ := set $env "FASTCORE_HTTP_HOST" "0.0.0.0" -}}
{{- end -}}
{{- if and .root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) -}}
{{- $_ := set $env "FASTCORE_SITES_FILE" "/etc/fastcore/sites/sites.toml" -}}
{{- end -}}
{{- if and .root.Values.secrets.audit (eq .name "flusher") -}}
{{- $_ := set $env "FASTCORE_AUDIT_SIGNING_KEY_FILE" "/etc/fastcore/audit/key" -}}
{{- end -}}
{{- if eq .name "ingest" -}}
{{- $_ := set $env "FASTCORE_INGEST_SPOOL_FOLDER" "/var/lib/fastcore/spool" -}}
{{- if gt (int .root.Values.ingest.workers) 1 -}}
{{- $_ := set $env "FASTCORE_INGEST_WORKERS" .root.Values.ingest.workers -}}
{{- end -}}
{{- end -}}
{{- if eq .name "admin" -}}
{{- $urls := list -}}
{{- range $name := list "ingest" "persister" "notifier" "webhooks" "flusher" "admin" -}}
{{- $urls = append $urls (printf "%s=http://%s-%s:%s" $name $full $name (include "fastcore.port" $name)) -}}
{{- end -}}
{{- $_ := set $env "FASTCORE_ADMIN_SERVICE_URLS" (join "," $urls) -}}
{{- $_ := set $env "FASTCORE_ADMIN_GATEWAY_URLS" (printf "http://%s-ingest-each:%s" $full (include "fastcore.port" "ingest")) -}}
{{- end -}}
{{- if and (eq .name "flusher") (include "fastcore.mailboxAsSmtp" .root) -}}
{{- range $name, $value := .root.Values.notifier.env -}}
{{- if and (regexMatch "^SMTP_(USER|OAUTH_.*)$" $name) (not (hasKey $env $name)) -}}
{{- $_ := set $env $name $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $env -}}
{{- if ne (toString $value) "" }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}
{{- include "fastcore.secretEnv" . -}}
{{- $secretEnv := merge (dict) ($own.secretEnv | default dict) -}}
{{- if and (eq .name "flusher") (include "fastcore.mailboxAsSmtp" .root) -}}
{{- range $name, $from := .root.Values.notifier.secretEnv -}}
{{- if and (regexMatch "^SMTP_(USER|PASSWORD|OAUTH_.*)$" $name) (not (hasKey $secretEnv $name)) -}}
{{- $_ := set $secretEnv $name $from -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $from := $secretEnv }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}}
{{- end -}}
{{- end -}}
