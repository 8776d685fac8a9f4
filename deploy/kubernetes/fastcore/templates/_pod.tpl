{{/* The parts that all pods share. Takes (dict "root" $ "name" "ingest"). */}}

{{- define "fastcore.podSettings" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "fastcore.containerSettings" -}}
image: {{ include "fastcore.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env: {{- include "fastcore.env" . | trim | nindent 2 }}
resources: {{- toYaml (index .root.Values .name | default .root.Values.migrate).resources | nindent 2 }}
{{- end -}}

{{- define "fastcore.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.secrets.authorities }}
- {name: authorities, mountPath: /etc/fastcore/authorities, readOnly: true}
{{- end }}
{{- end -}}

{{- define "fastcore.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- with .root.Values.secrets.authorities }}
- {name: authorities, secret: {secretName: {{ . }}}}
{{- end }}
{{- end -}}

{{/* The pod of a service. */}}
{{- define "fastcore.pod" -}}
{{- $port := include "fastcore.port" .name -}}
metadata:
  labels:
    {{- include "fastcore.labels" . | nindent 4 }}
    {{- with .root.Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .root.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "fastcore.serviceAccount" .root }}
  {{- include "fastcore.podSettings" . | nindent 2 }}
  # Longer than the drain: an email 45 s < graceful timeout 50 s < 60 s (ARCHITECTURE.md). A gateway first waits for its spool.
  terminationGracePeriodSeconds: {{ if eq .name "ingest" }}{{ add 60 .root.Values.ingest.spool.drainSeconds }}{{ else if eq .name "admin" }}65{{ else }}60{{ end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "fastcore.selector" $ | nindent 10 }}
    {{- end }}
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
      volumeMounts:
        {{- include "fastcore.mounts" . | nindent 8 }}
        {{- if and .root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) }}
        - {name: sites, mountPath: /etc/fastcore/sites, readOnly: true}
        {{- end }}
        {{- if and .root.Values.secrets.destinations (eq .name "webhooks") }}
        - {name: destinations, mountPath: /etc/fastcore/destinations, readOnly: true}
        {{- end }}
        {{- if and .root.Values.secrets.mail (eq .name "notifier") }}
        - {name: mail, mountPath: /etc/fastcore/mail, readOnly: true}
        {{- end }}
        {{- if and (eq .name "flusher") (include "fastcore.mailboxKey" .root) }}
        - {name: mail, mountPath: /etc/fastcore/mail, readOnly: true}
        {{- end }}
        {{- if and .root.Values.secrets.audit (eq .name "flusher") }}
        - {name: audit, mountPath: /etc/fastcore/audit, readOnly: true}
        {{- end }}
        {{- if eq .name "notifier" }}
        {{- range $folder := keys .root.Values.siteTemplates | sortAlpha }}
        - {name: templates-{{ $folder }}, mountPath: /etc/fastcore/templates/{{ $folder }}, readOnly: true}
        {{- end }}
        {{- end }}
        {{- if eq .name "ingest" }}
        - {name: spool, mountPath: /var/lib/fastcore}
        {{- end }}
  volumes:
    {{- include "fastcore.volumes" . | nindent 4 }}
    {{- if and .root.Values.sites (has .name (list "ingest" "notifier" "webhooks" "flusher" "admin")) }}
    - {name: sites, configMap: {name: {{ include "fastcore.fullname" .root }}-sites}}
    {{- end }}
    {{- if and .root.Values.secrets.destinations (eq .name "webhooks") }}
    # Readable by the pod's group (fsGroup). Mounted whole, not by subPath, so that a changed Secret reaches the pod.
    - {name: destinations, secret: {secretName: {{ .root.Values.secrets.destinations }}, defaultMode: 0440}}
    {{- end }}
    {{- if eq .name "notifier" }}
    {{- range $folder := keys .root.Values.siteTemplates | sortAlpha }}
    - {name: templates-{{ $folder }}, configMap: {name: {{ get $.root.Values.siteTemplates $folder }}}}
    {{- end }}
    {{- end }}
    {{- if and .root.Values.secrets.mail (eq .name "notifier") }}
    - {name: mail, secret: {secretName: {{ .root.Values.secrets.mail }}, defaultMode: 0440}}
    {{- end }}
    {{- if and .root.Values.secrets.audit (eq .name "flusher") }}
    - {name: audit, secret: {secretName: {{ .root.Values.secrets.audit }}, defaultMode: 0440}}
    {{- end }}
    {{- if eq .name "flusher" }}
    {{- with include "fastcore.mailboxKey" .root }}
    - {name: mail, secret: {secretName: {{ $.root.Values.secrets.mail }}, defaultMode: 0440, items: [{key: {{ . }}, path: {{ . }}}]}}
    {{- end }}
    {{- end }}
{{- end -}}
