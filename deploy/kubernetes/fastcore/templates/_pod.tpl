{{/* The parts that all pods share. Takes (dict "root" $ "name" "ingest"). */}}

{{/* A component's own value of a key of all pods (nodeSelector, ...), or the value for all pods, as YAML. Takes (list given "nodeSelector"). */}}
{{- define "fastcore.podValue" -}}
{{- $given := index . 0 -}}
{{- $key := index . 1 -}}
{{- $own := index $given.root.Values $given.name | default dict -}}
{{- with index $own $key | default (index $given.root.Values $key) }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Labels or annotations for all pods, and those of the component, which win, as YAML. */}}
{{- define "fastcore.podMap" -}}
{{- $given := index . 0 -}}
{{- $key := index . 1 -}}
{{- $own := index $given.root.Values $given.name | default dict -}}
{{- with merge (dict) (index $own $key | default dict) (index $given.root.Values $key | default dict) }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "fastcore.podMetadata" -}}
labels:
  {{- include "fastcore.labels" . | nindent 2 }}
  {{- with include "fastcore.podMap" (list . "podLabels") }}{{ . | nindent 2 }}{{ end }}
{{- with include "fastcore.podMap" (list . "podAnnotations") }}
annotations: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "fastcore.podSettings" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "fastcore.podValue" (list . "priorityClassName") }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{- toYaml (.security | default $values.podSecurityContext) | nindent 2 }}
{{- range $key := list "nodeSelector" "affinity" "tolerations" }}
{{- with include "fastcore.podValue" (list $ $key) }}
{{ $key }}: {{- . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Over zones and nodes, if there is room. A constraint of the values without a labelSelector gets that of the component. */}}
{{- define "fastcore.spread" -}}
{{- $selector := dict "matchLabels" (include "fastcore.selector" . | fromYaml) -}}
{{- $constraints := list -}}
{{- $given := include "fastcore.podValue" (list . "topologySpreadConstraints") | fromYamlArray -}}
{{- range $given | default (list (dict "topologyKey" "topology.kubernetes.io/zone") (dict "topologyKey" "kubernetes.io/hostname")) -}}
{{- $constraints = append $constraints (merge (dict) . (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" $selector)) -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}

{{- define "fastcore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "fastcore.containerSettings" -}}
image: {{ include "fastcore.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "fastcore.containerSecurity" . | nindent 2 }}
env: {{- include "fastcore.env" . | nindent 2 }}
{{- with include "fastcore.envFrom" . }}
envFrom: {{- . | nindent 2 }}
{{- end }}
resources: {{- toYaml (index .root.Values .name | default .root.Values.migrate).resources | nindent 2 }}
{{- end -}}

{{/* The Secrets with files: the group of `secrets`, and the services that mount it under /etc/fastcore. */}}
{{- define "fastcore.fileGroups" -}}
authorities: [ingest, persister, notifier, webhooks, flusher, admin, migrate, backup]
destinations: [webhooks]
mail: [notifier{{ if include "fastcore.mailboxKey" . }}, flusher{{ end }}]
audit: [flusher]
{{- end -}}

{{/*
The files of a group as YAML: {secret: the Secret with all of them, keys: {file: {secret: s, key: k}}}, or nothing. Takes (list $ "authorities").
*/}}
{{- define "fastcore.files" -}}
{{- $root := index . 0 -}}
{{- $folder := printf "%s/" (index . 1) -}}
{{- $secret := index $root.Values.secrets (index . 1) -}}
{{- $keys := dict -}}
{{- range $path, $from := $root.Values.secretKeys -}}
{{- if hasPrefix $folder $path }}{{ $_ := set $keys (trimPrefix $folder $path) $from }}{{ end -}}
{{- end -}}
{{- if or $secret $keys }}{{ toYaml (dict "secret" $secret "keys" $keys) }}{{ end -}}
{{- end -}}

{{/* The source of a volume with a group's files. Takes (dict "files" what-fastcore.files-returned "only" "the name of one file, or empty"). */}}
{{- define "fastcore.secretSource" -}}
{{- $only := .only -}}
{{- if not .files.keys -}}
secret: {secretName: {{ .files.secret }}, defaultMode: 0440{{ with $only }}, items: [{key: {{ . }}, path: {{ . }}}]{{ end }}}
{{- else -}}
projected:
  defaultMode: 0440
  sources:
    {{- if and .files.secret (not (and $only (hasKey .files.keys $only))) }}
    - secret: {name: {{ .files.secret }}{{ with $only }}, items: [{key: {{ . }}, path: {{ . }}}]{{ end }}}
    {{- end }}
    {{- range $file, $from := .files.keys }}
    {{- if or (not $only) (eq $file $only) }}
    - secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key | quote }}, path: {{ $file | quote }}}]}
    {{- end }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "fastcore.mounts" -}}
{{- $own := index .root.Values .name | default dict -}}
- {name: tmp, mountPath: /tmp}
{{- range $group, $services := include "fastcore.fileGroups" .root | fromYaml }}
{{- if and (include "fastcore.files" (list $.root $group)) (has $.name $services) }}
- {name: {{ $group }}, mountPath: /etc/fastcore/{{ $group }}, readOnly: true}
{{- end }}
{{- end }}
{{- if and .root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) }}
- {name: sites, mountPath: /etc/fastcore/sites, readOnly: true}
{{- end }}
{{- if eq .name "notifier" }}
{{- range $folder := keys .root.Values.siteTemplates | sortAlpha }}
- {name: templates-{{ $folder }}, mountPath: /etc/fastcore/templates/{{ $folder }}, readOnly: true}
{{- end }}
{{- end }}
{{- if eq .name "ingest" }}
- {name: spool, mountPath: /var/lib/fastcore}
{{- else if and (eq .name "flusher") (.root.Values.flusher.checkpoint | default dict).enabled }}
- {name: checkpoint, mountPath: /var/lib/fastcore/audit}
{{- end }}
{{- with concat (.root.Values.extraVolumeMounts | default list) ($own.extraVolumeMounts | default list) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fastcore.volumes" -}}
{{- $own := index .root.Values .name | default dict -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- range $group, $services := include "fastcore.fileGroups" .root | fromYaml }}
{{- if has $.name $services }}
{{- with include "fastcore.files" (list $.root $group) | fromYaml }}
# Readable by the pod's group (fsGroup). Mounted whole, not by subPath, so that a changed Secret reaches the pod.
- name: {{ $group }}
  {{- include "fastcore.secretSource" (dict "files" . "only" (ternary (include "fastcore.mailboxKey" $.root) "" (and (eq $group "mail") (eq $.name "flusher")))) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) }}
- {name: sites, configMap: {name: {{ include "fastcore.fullname" .root }}-sites}}
{{- end }}
{{- if eq .name "notifier" }}
{{- range $folder := keys .root.Values.siteTemplates | sortAlpha }}
- {name: templates-{{ $folder }}, configMap: {name: {{ get $.root.Values.siteTemplates $folder }}}}
{{- end }}
{{- end }}
{{- with concat (.root.Values.extraVolumes | default list) ($own.extraVolumes | default list) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pod of a service. */}}
{{- define "fastcore.pod" -}}
{{- $port := include "fastcore.port" .name -}}
metadata: {{- include "fastcore.podMetadata" . | nindent 2 }}
spec:
  serviceAccountName: {{ include "fastcore.serviceAccount" .root }}
  {{- include "fastcore.podSettings" . | nindent 2 }}
  # Longer than the drain: an email 45 s < graceful timeout 50 s < 60 s (ARCHITECTURE.md). A gateway first waits for its spool.
  terminationGracePeriodSeconds: {{ if eq .name "ingest" }}{{ add 60 .root.Values.ingest.spool.drainSeconds }}{{ else if eq .name "admin" }}65{{ else }}60{{ end }}
  topologySpreadConstraints: {{- include "fastcore.spread" . | nindent 4 }}
  containers:
    - name: {{ .name }}
      command: [python, -m, services, {{ .name }}]
      {{- include "fastcore.containerSettings" . | nindent 6 }}
      ports:
        - {name: http, containerPort: {{ $port }}}
      # Up to a minute to start. After that /livez answers as long as the process works, even if a dependency is unavailable.
      startupProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      {{- if eq .name "ingest" }}
      lifecycle:
        preStop:
          # Write to the gateway's log, because Kubernetes discards a hook's output.
          exec:
            command: [sh, -c, "exec python -m deploy.container.drain_spool --wait-seconds {{ .root.Values.ingest.spool.drainSeconds }} >/proc/1/fd/1 2>&1"]
      {{- else if eq .name "admin" }}
      lifecycle:
        preStop:
          # Requests still arrive for some seconds after Kubernetes marks a pod as terminating.
          exec: {command: [python, -c, "import time; time.sleep(5)"]}
      {{- end }}
      volumeMounts: {{- include "fastcore.mounts" . | nindent 8 }}
  volumes: {{- include "fastcore.volumes" . | nindent 4 }}
{{- end -}}
