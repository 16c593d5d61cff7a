{{/*
What a team's own chart includes. The one include:

  {{ include "outrigger.sidecar.inject" (list . (include "shop.deployment" .)) }}

takes a whole Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod as text and gives it back with the sidecar.
The scope may be that of the chart which has this one as its dependency "outrigger"; under an alias it is
.Subcharts.<alias>. The other templates are its parts, for who wants to place them by hand; they take this chart's scope.
*/}}

{{/* The container; an init container that keeps running where sidecar.native is true. */}}
{{- define "outrigger.sidecar.container" -}}
{{- include "outrigger.validate" . -}}
{{ include "outrigger.container" . }}
{{- if .Values.sidecar.native }}
restartPolicy: Always
{{- else if .Values.sidecar.wait }}
# Containers are started one after the other, and none before this has returned.
lifecycle:
  postStart:
    exec:
      command: {{ toJson .Values.sidecar.wait }}
{{- end }}
{{- end -}}

{{- define "outrigger.sidecar.volumes" -}}
{{ include "outrigger.volumes" . }}
{{- end -}}

{{/* Of the application's container; empty where nothing is intercepted. */}}
{{- define "outrigger.application.volumeMounts" -}}
{{- if and (eq .Values.mode "sidecar") (include "outrigger.intercepts" .) -}}
- name: outrigger-trust
  mountPath: /var/run/outrigger
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "outrigger.sidecar.annotations" -}}
{{- if .Values.rolloutOnChange -}}
outrigger/config-checksum: {{ include "outrigger.configuration.checksum" . | quote }}
{{- end -}}
{{- end -}}

{{/* By these the PodMonitor finds the pod, and policies of the gateway. */}}
{{- define "outrigger.sidecar.labels" -}}
{{- if eq .Values.mode "gateway" -}}
{{- toYaml .Values.networkPolicy.applications.matchLabels -}}
{{- else -}}
outrigger/sidecar: {{ include "outrigger.fullname" . | quote }}
{{- end -}}
{{- end -}}

{{- define "outrigger.sidecar.inject" -}}
{{- $given := index . 0 -}}
{{- $scope := ($given.Subcharts | default dict).outrigger | default $given -}}
{{- include "outrigger.validate" $scope -}}
{{- $values := $scope.Values -}}
{{- $beside := eq $values.mode "sidecar" -}}
{{- $workload := index . 1 | fromYaml | default dict -}}
{{- with $workload.Error -}}
{{- fail (printf "outrigger.sidecar.inject was given no YAML mapping: %s" .) -}}
{{- end -}}
{{- $kind := toString $workload.kind -}}
{{- $pod := dict -}}
{{- if has $kind (list "Deployment" "StatefulSet" "DaemonSet" "ReplicaSet" "Job") -}}
{{- $pod = $workload.spec.template -}}
{{- else if eq $kind "CronJob" -}}
{{- $pod = $workload.spec.jobTemplate.spec.template -}}
{{- else if eq $kind "Pod" -}}
{{- $pod = $workload -}}
{{- else -}}
{{- fail (printf "outrigger.sidecar.inject knows no pods in a %s" $kind) -}}
{{- end -}}
{{- if and $beside (not $values.sidecar.native) (has $kind (list "Job" "CronJob")) -}}
{{- fail (printf "a %s with a classic container beside it never ends: set sidecar.native, or start the application by outrigger exec" $kind) -}}
{{- end -}}
{{- $name := printf "%s %s" $kind (toString ($workload.metadata | default dict).name) -}}
{{- $spec := $pod.spec -}}

{{- /* Labels and annotations. */ -}}
{{- $metadata := $pod.metadata | default dict -}}
{{- $_ := set $pod "metadata" $metadata -}}
{{- $labels := $metadata.labels | default dict -}}
{{- range $key, $value := include "outrigger.sidecar.labels" $scope | fromYaml -}}
{{- $_ := set $labels $key $value -}}
{{- end -}}
{{- $_ := set $metadata "labels" $labels -}}
{{- if $beside -}}
{{- $annotations := $metadata.annotations | default dict -}}
{{- range $key, $value := include "outrigger.sidecar.annotations" $scope | fromYaml -}}
{{- $_ := set $annotations $key $value -}}
{{- end -}}
{{- if $annotations -}}{{- $_ := set $metadata "annotations" $annotations -}}{{- end -}}
{{- end -}}

{{- /* The applications' environment and what they trust. */ -}}
{{- $wanted := $values.sidecar.containers -}}
{{- $wired := list -}}
{{- $env := (printf "items:%s" (include "outrigger.application.env" $scope) | fromYaml).items -}}
{{- $mounts := (printf "items:\n%s" (include "outrigger.application.volumeMounts" $scope) | fromYaml).items -}}
{{- $containers := $spec.containers | default list -}}
{{- $early := $spec.initContainers | default list -}}
{{- $callers := $containers -}}
{{- if or $values.sidecar.native (not $beside) -}}{{- $callers = concat $containers $early -}}{{- end -}}
{{- range $container := $callers -}}
{{- if eq $container.name "outrigger" -}}
{{- fail (printf "%s has a container named outrigger already" $name) -}}
{{- end -}}
{{- if or (not $wanted) (has $container.name $wanted) -}}
{{- $wired = append $wired $container.name -}}
{{- $own := dict -}}
{{- range $container.env -}}{{- $_ := set $own .name . -}}{{- end -}}
{{- $added := list -}}
{{- range $entry := $env -}}
{{- $theirs := get $own $entry.name -}}
{{- if not $theirs -}}
{{- $added = append $added $entry -}}
{{- else if $theirs.value -}}
{{- /* Lists are added to; any other variable of theirs stays as it is. */ -}}
{{- if has $entry.name (list "NO_PROXY" "no_proxy") -}}
{{- $_ := set $theirs "value" (printf "%s,%s" $theirs.value $entry.value) -}}
{{- else if eq $entry.name "JAVA_TOOL_OPTIONS" -}}
{{- $_ := set $theirs "value" (printf "%s %s" $theirs.value $entry.value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $container "env" (concat $added ($container.env | default list)) -}}
{{- if $mounts -}}
{{- $_ := set $container "volumeMounts" (concat ($container.volumeMounts | default list) $mounts) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $wanted -}}
{{- if not (has . $wired) -}}
{{- fail (printf "sidecar.containers names %s, which %s has not" . $name) -}}
{{- end -}}
{{- end -}}

{{- if $beside -}}
{{- /* The sidecar goes first: what follows waits for it. */ -}}
{{- $sidecar := include "outrigger.sidecar.container" $scope | fromYaml -}}
{{- if $values.sidecar.native -}}
{{- $_ := set $spec "initContainers" (prepend $early $sidecar) -}}
{{- else -}}
{{- $_ := set $spec "containers" (prepend $containers $sidecar) -}}
{{- end -}}
{{- $volumes := (printf "items:\n%s" (include "outrigger.sidecar.volumes" $scope) | fromYaml).items -}}
{{- $_ := set $spec "volumes" (concat ($spec.volumes | default list) $volumes) -}}
{{- if include "outrigger.caSecretName" $scope -}}
{{- $security := $spec.securityContext | default dict -}}
{{- if not (hasKey $security "fsGroup") -}}{{- $_ := set $security "fsGroup" (int $values.runAsUser) -}}{{- end -}}
{{- $_ := set $spec "securityContext" $security -}}
{{- end -}}
{{- $grace := int (include "outrigger.gracePeriodSeconds" $scope) -}}
{{- if not (hasKey $spec "terminationGracePeriodSeconds") -}}
{{- $_ := set $spec "terminationGracePeriodSeconds" (max 30 $grace) -}}
{{- else if lt (int $spec.terminationGracePeriodSeconds) $grace -}}
{{- fail (printf "%s: terminationGracePeriodSeconds %d is too little for drainTimeoutSeconds %d and 5 seconds more: raise it, or lower drainTimeoutSeconds" $name (int $spec.terminationGracePeriodSeconds) (int $values.drainTimeoutSeconds)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $workload -}}
{{- end -}}
