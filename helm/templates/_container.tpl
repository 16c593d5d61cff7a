{{/* The container of Outrigger and its volumes, the same in a sidecar and in the gateway. */}}

{{- define "outrigger.securityContext" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.runAsUser }}
runAsGroup: {{ int .Values.runAsUser }}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
privileged: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "outrigger.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
periodSeconds: {{ int .times.periodSeconds }}
timeoutSeconds: {{ int .times.timeoutSeconds }}
failureThreshold: {{ int .times.failureThreshold }}
{{- end -}}

{{/* Without restartPolicy and lifecycle, which depend on where it runs. */}}
{{- define "outrigger.container" -}}
{{- $port := int .Values.ports.telemetry -}}
name: outrigger
image: {{ include "outrigger.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run]
env:
  # In the place of flags, so that every command in this container finds the configuration.
  - name: OUTRIGGER_CONFIG
    value: /etc/outrigger/outrigger.yaml:/etc/outrigger/chart.yaml
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if eq .Values.mode "gateway" }}
  - name: proxy
    containerPort: {{ int .Values.ports.proxy }}
    protocol: TCP
  {{- end }}
  - name: out-telemetry
    containerPort: {{ $port }}
    protocol: TCP
startupProbe:
  {{- include "outrigger.probe" (dict "path" "/readyz" "port" $port "times" .Values.probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "outrigger.probe" (dict "path" "/livez" "port" $port "times" .Values.probes.liveness) | nindent 2 }}
readinessProbe:
  {{- include "outrigger.probe" (dict "path" "/readyz" "port" $port "times" .Values.probes.readiness) | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "outrigger.securityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  # A folder and no single file: only so does a changed ConfigMap reach a running container.
  - name: outrigger-config
    mountPath: /etc/outrigger
    readOnly: true
  {{- if include "outrigger.intercepts" . }}
  - name: outrigger-trust
    mountPath: /var/run/outrigger
  {{- end }}
  {{- if include "outrigger.caSecretName" . }}
  - name: outrigger-ca
    mountPath: /etc/outrigger-ca
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "outrigger.volumes" -}}
- name: outrigger-config
  configMap:
    name: {{ include "outrigger.fullname" . }}
    defaultMode: 0444
{{- if include "outrigger.intercepts" . }}
# The roots that applications trust: written by Outrigger, read by all.
- name: outrigger-trust
  emptyDir:
    sizeLimit: 16Mi
{{- end }}
{{- if include "outrigger.caSecretName" . }}
# Of root, readable by the group of the pod (fsGroup) and nobody else: Outrigger refuses a key that others can read.
- name: outrigger-ca
  secret:
    secretName: {{ include "outrigger.caSecretName" . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
