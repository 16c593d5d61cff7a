{{/*
The configuration: the team's own text, and a file of the chart's that is laid over it. Two files, so that messages and
explanations of Outrigger name the team's own lines.
*/}}

{{- define "outrigger.configuration.text" -}}
{{- if kindIs "string" .Values.config -}}
{{- .Values.config | trimSuffix "\n" -}}
{{- else if .Values.config -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{/* As JSON, for fromJson; refuses what is no YAML and what the chart itself sets. */}}
{{- define "outrigger.configuration.parsed" -}}
{{- $parsed := include "outrigger.configuration.text" . | fromYaml | default dict -}}
{{- with $parsed.Error -}}
{{- fail (printf "config is no YAML mapping: %s" .) -}}
{{- end -}}
{{- range $section, $keys := dict
  "listen" (dict "proxy" "ports.proxy" "telemetry" "ports.telemetry")
  "intercept" (dict "ca" "intercept.ca" "bundle" "no value: it is a volume that the chart mounts")
  "shutdown" (dict "drainTimeout" "drainTimeoutSeconds")
-}}
{{- range $key, $instead := $keys -}}
{{- if hasKey (index $parsed $section | default dict) $key -}}
{{- fail (printf "config.%s.%s is set by the chart; the value for it is %s" $section $key $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $parsed -}}
{{- end -}}

{{/* "true" where a route intercepts, else empty. */}}
{{- define "outrigger.intercepts" -}}
{{- $found := false -}}
{{- range (include "outrigger.configuration.parsed" . | fromJson).routes | default list -}}
{{- if eq (toString .https) "intercept" -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if $found -}}true{{- end -}}
{{- end -}}

{{- define "outrigger.bundle" -}}/var/run/outrigger/ca-bundle.pem{{- end -}}

{{- define "outrigger.configuration.chart" -}}
# What the chart sets, laid over outrigger.yaml.
listen:
  proxy: "{{ ternary .Values.listenAddress "127.0.0.1" (eq .Values.mode "gateway") }}:{{ int .Values.ports.proxy }}"
  telemetry: "{{ .Values.listenAddress }}:{{ int .Values.ports.telemetry }}"
shutdown:
  drainTimeout: {{ int .Values.drainTimeoutSeconds }}s
{{- if include "outrigger.intercepts" . }}
intercept:
  bundle: {{ include "outrigger.bundle" . }}
{{- if include "outrigger.caSecretName" . }}
  ca:
    cert: /etc/outrigger-ca/tls.crt
    key: /etc/outrigger-ca/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{- define "outrigger.configuration.data" -}}
outrigger.yaml: |
  {{- include "outrigger.configuration.text" . | default "{}" | nindent 2 }}
chart.yaml: |
  {{- include "outrigger.configuration.chart" . | nindent 2 }}
{{- end -}}

{{- define "outrigger.configuration.checksum" -}}
{{- include "outrigger.configuration.data" . | sha256sum -}}
{{- end -}}

{{/* What values can say that cannot work. Prints nothing. */}}
{{- define "outrigger.validate" -}}
{{- $ca := .Values.intercept.ca -}}
{{- if and $ca.secretName (or $ca.cert $ca.key) -}}
{{- fail "intercept.ca: either secretName, or cert and key" -}}
{{- end -}}
{{- if ne (empty $ca.cert) (empty $ca.key) -}}
{{- fail "intercept.ca: cert and key come together" -}}
{{- end -}}
{{- if and (include "outrigger.caSecretName" .) (not (include "outrigger.intercepts" .)) -}}
{{- fail "intercept.ca is for nothing: no route of config says https: intercept" -}}
{{- end -}}
{{- if eq (int .Values.ports.proxy) (int .Values.ports.telemetry) -}}
{{- fail "ports.proxy and ports.telemetry are the same" -}}
{{- end -}}
{{- if eq .Values.mode "gateway" -}}
{{- if and (include "outrigger.intercepts" .) (not (include "outrigger.caSecretName" .)) -}}
{{- fail "a gateway that intercepts needs intercept.ca: else each of its pods has an authority of its own, which nobody trusts" -}}
{{- end -}}
{{- else if .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy needs mode: gateway: a policy is about pods, and cannot tell the sidecar from the application in one pod" -}}
{{- end -}}
{{- end -}}
