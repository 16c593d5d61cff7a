{{/*
A team's workload as it would stand in the team's own chart: nothing in it knows of a proxy.
*/}}

{{- define "outrigger.example.name" -}}
{{ include "outrigger.fullname" . }}-example
{{- end -}}

{{- define "outrigger.example.pod" -}}
metadata:
  labels:
    app.kubernetes.io/name: {{ include "outrigger.example.name" . }}
spec:
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: caller
      image: {{ .Values.example.image | quote }}
      {{- $call := printf "curl -sS -i --max-time 30 %s" (squote .Values.example.url) }}
      {{- if has .Values.example.kind (list "Job" "CronJob") }}
      command: [sh, -c, {{ $call | quote }}]
      {{- else }}
      command: [sh, -c, {{ printf "while :; do %s; sleep 10; done" $call | quote }}]
      {{- end }}
      resources:
        requests: { cpu: 10m, memory: 16Mi }
        limits: { memory: 64Mi }
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
{{- end -}}

{{- define "outrigger.example.workload" -}}
{{- $name := include "outrigger.example.name" . -}}
{{- $kind := .Values.example.kind -}}
{{- $batch := has $kind (list "Job" "CronJob") -}}
apiVersion: {{ ternary "batch/v1" "apps/v1" $batch }}
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  labels:
    app.kubernetes.io/name: {{ $name }}
spec:
  {{- if eq $kind "CronJob" }}
  schedule: "*/15 * * * *"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        {{- include "outrigger.example.pod" . | nindent 8 }}
          restartPolicy: Never
  {{- else if $batch }}
  backoffLimit: 2
  template:
    {{- include "outrigger.example.pod" . | nindent 4 }}
      restartPolicy: Never
  {{- else }}
  replicas: 1
  {{- if eq $kind "StatefulSet" }}
  serviceName: {{ $name }}
  {{- end }}
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ $name }}
  template:
    {{- include "outrigger.example.pod" . | nindent 4 }}
  {{- end }}
{{- end -}}
