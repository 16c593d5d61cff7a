{{/* Names and labels. Each template takes the scope of this chart. */}}

{{- define "outrigger.name" -}}
{{- default "outrigger" .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name is in it, so that two releases live in one namespace. Room is left for suffixes. */}}
{{- define "outrigger.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "outrigger.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "outrigger.selectorLabels" -}}
app.kubernetes.io/name: {{ include "outrigger.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "outrigger.labels" -}}
{{ include "outrigger.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "outrigger.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The Secret of the authority; empty: there is none. */}}
{{- define "outrigger.caSecretName" -}}
{{- $ca := .Values.intercept.ca -}}
{{- if $ca.secretName -}}
{{- $ca.secretName -}}
{{- else if $ca.cert -}}
{{- include "outrigger.fullname" . }}-ca
{{- end -}}
{{- end -}}

{{/* How long a pod may take to end, for all that Outrigger does in it. */}}
{{- define "outrigger.gracePeriodSeconds" -}}
{{- $stop := ternary (int .Values.gateway.preStopSeconds) 0 (eq .Values.mode "gateway") -}}
{{- add (int .Values.drainTimeoutSeconds) $stop 5 -}}
{{- end -}}
