{{/* What depends on the objects that are in the cluster. `helm template` and tools that use it see none, and skip this. */}}

{{/* A size such as 1Gi in bytes. */}}
{{- define "fastcore.bytes" -}}
{{- $units := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mul (regexFind "^[0-9]+" (toString .) | int64) (get $units (regexReplaceAll "^[0-9]+" (toString .) "")) -}}
{{- end -}}

{{/* Deployment, or StatefulSet if each pod has a volume of its own. Takes (dict "root" $ "name" "ingest"). */}}
{{- define "fastcore.kind" -}}
{{- if or (eq .name "ingest") (and (eq .name "flusher") (.root.Values.flusher.checkpoint | default dict).enabled) }}StatefulSet{{ else }}Deployment{{ end -}}
{{- end -}}

{{/*
The number of replicas. KEDA scales a consumer by the HPA that it makes. If the field disappeared from the manifest when KEDA is switched on, Kubernetes
would set its default, 1. So the live number stays in the manifest, until a server-side apply can leave the field to the HPA: when the HPA has written it.
*/}}
{{- define "fastcore.replicas" -}}
{{- $own := index .root.Values .name -}}
{{- if not (and .root.Values.keda.enabled (hasKey .root.Values.keda .name)) -}}
{{- $own.replicas -}}
{{- else -}}
{{- $full := printf "%s-%s" (include "fastcore.fullname" .root) .name -}}
{{- $kind := include "fastcore.kind" . -}}
{{- $live := lookup "apps/v1" $kind .root.Release.Namespace $full -}}
{{- /* The flusher of the other kind, if flusher.checkpoint is switched with this upgrade. */}}
{{- $former := lookup "apps/v1" (eq $kind "Deployment" | ternary "StatefulSet" "Deployment") .root.Release.Namespace $full -}}
{{- if $live -}}
{{- $applied := false -}}
{{- $scaled := false -}}
{{- range $live.metadata.managedFields -}}
{{- if eq .operation "Apply" }}{{ $applied = true }}{{ end -}}
{{- if and (eq (.subresource | default "") "scale") (hasKey (get (.fieldsV1 | default dict) "f:spec" | default dict) "f:replicas") }}{{ $scaled = true }}{{ end -}}
{{- end -}}
{{- if not (and $applied $scaled) -}}
{{- int $live.spec.replicas -}}
{{- end -}}
{{- else if $former -}}
{{- int $former.spec.replicas -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The volume claim of each pod. Takes (dict "root" $ "name" "ingest" "claim" "spool"). */}}
{{- define "fastcore.claims" -}}
{{- $volume := index (index .root.Values .name) .claim -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .claim }}
    labels: {{- include "fastcore.selector" . | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with $volume.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ $volume.size }}}}
{{- end -}}

{{/* The changes that an upgrade cannot make, because Kubernetes refuses them in the middle of it: one line each. */}}
{{- define "fastcore.immutable" -}}
{{- $full := include "fastcore.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- range $name := list "ingest" "persister" "notifier" "webhooks" "flusher" "admin" }}
{{- $given := dict "root" $ "name" $name }}
{{- $live := lookup "apps/v1" (include "fastcore.kind" $given) $namespace (printf "%s-%s" $full $name) }}
{{- if $live }}
{{- if ne (toJson $live.spec.selector.matchLabels) (include "fastcore.selector" $given | fromYaml | toJson) }}
nameOverride: the pods of {{ $full }}-{{ $name }} are selected by {{ toJson $live.spec.selector.matchLabels }}, which no upgrade can change. Keep the name.
{{- end }}
{{- range $claim := $live.spec.volumeClaimTemplates }}
{{- $wanted := index (index $.Values $name) $claim.metadata.name }}
{{- $size := $claim.spec.resources.requests.storage }}
{{- $more := sub (include "fastcore.bytes" $wanted.size | int64) (include "fastcore.bytes" $size | int64) }}
{{- if ne ($claim.spec.storageClassName | default "") ($wanted.storageClassName | default "") }}
{{ $name }}.{{ $claim.metadata.name }}.storageClassName: the volumes of {{ $full }}-{{ $name }} have the class {{ $claim.spec.storageClassName | default "\"\" (the cluster's default)" }}, which no upgrade can change. Keep it.
{{- end }}
{{- if lt $more 0 }}
{{ $name }}.{{ $claim.metadata.name }}.size: {{ $wanted.size }} is less than the {{ $size }} of the volumes of {{ $full }}-{{ $name }}, and a volume cannot shrink. Keep {{ $size }}.
{{- else if gt $more 0 }}
{{ $name }}.{{ $claim.metadata.name }}.size: the volumes of {{ $full }}-{{ $name }} have {{ $size }}, and an upgrade cannot change a StatefulSet's claims. Enlarge them, delete the StatefulSet without its pods, then upgrade again (docs/kubernetes.md, "A larger spool"):
  kubectl -n {{ $namespace }} get pvc -o name -l app.kubernetes.io/instance={{ $.Release.Name }},app.kubernetes.io/component={{ $name }} | xargs -I% kubectl -n {{ $namespace }} patch % -p '{"spec": {"resources": {"requests": {"storage": "{{ $wanted.size }}"}}}}'
  kubectl -n {{ $namespace }} delete statefulset {{ $full }}-{{ $name }} --cascade=orphan
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- /* An upgrade deletes the job of the last one, so it would end a migration that Helm no longer waits for. */}}
{{- $job := lookup "batch/v1" "Job" $namespace (printf "%s-migrate" $full) }}
{{- if and .Values.migrate.enabled (($job.status | default dict).active) }}
migrate: the job {{ $full }}-migrate of an earlier install or upgrade still runs, and this one would end it. Wait for it, or delete it if it cannot succeed, then upgrade again:
  kubectl -n {{ $namespace }} wait job/{{ $full }}-migrate --for=condition=complete --timeout=4h
  kubectl -n {{ $namespace }} delete job {{ $full }}-migrate
{{- end }}
{{- $backup := .Values.backup | default dict }}
{{- $claim := lookup "v1" "PersistentVolumeClaim" $namespace (printf "%s-backup" $full) }}
{{- if and $claim $backup.enabled (not $backup.existingClaim) }}
{{- $size := $claim.spec.resources.requests.storage }}
{{- if lt (include "fastcore.bytes" $backup.size | int64) (include "fastcore.bytes" $size | int64) }}
backup.size: {{ $backup.size }} is less than the {{ $size }} of the volume {{ $full }}-backup, and a volume cannot shrink. Keep {{ $size }}.
{{- end }}
{{- if and $backup.storageClassName (ne $backup.storageClassName ($claim.spec.storageClassName | default "")) }}
backup.storageClassName: the volume {{ $full }}-backup has the class {{ $claim.spec.storageClassName | default "\"\"" }}, which no upgrade can change. Keep it.
{{- end }}
{{- end }}
{{- /* Another name makes other gateways with other claims: the leads in the old ones would wait there. */}}
{{- range (lookup "apps/v1" "StatefulSet" $namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (index $labels "app.kubernetes.io/instance" | default "") $.Release.Name) (eq (index $labels "app.kubernetes.io/component" | default "") "ingest") (hasPrefix "fastcore-" (index $labels "helm.sh/chart" | default "")) (ne .metadata.name (printf "%s-ingest" $full)) .spec.replicas }}
fullnameOverride: the gateways of this release are called {{ .metadata.name }}, and would be {{ $full }}-ingest: leads in their spools would stay behind. Keep the name, or first empty the spools: kubectl -n {{ $namespace }} scale statefulset {{ .metadata.name }} --replicas=0
{{- end }}
{{- end }}
{{- end -}}
