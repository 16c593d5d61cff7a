{{/*
The environment by which an application finds Outrigger and trusts it: the same variables as `outrigger env` prints, with
the names of the cluster added to NO_PROXY.
*/}}

{{/* As JSON, with the list under "hosts". The kubelet puts the address of the API server into every container, and into $(...). */}}
{{- define "outrigger.noProxy" -}}
{{- $cluster := list "localhost" "127.0.0.1" "::1" ".svc" (printf ".svc.%s" .Values.clusterDomain) "kubernetes.default" "$(KUBERNETES_SERVICE_HOST)" -}}
{{- dict "hosts" (concat $cluster .Values.noProxy | uniq) | toJson -}}
{{- end -}}

{{- define "outrigger.javaOptions" -}}
{{- $hosts := list -}}
{{- range (include "outrigger.noProxy" .scope | fromJson).hosts -}}
{{- if contains "/" . -}}
{{- else if contains ":" . -}}
{{- $hosts = append $hosts (printf "[%s]" .) -}}
{{- else -}}
{{- $hosts = append $hosts (ternary (print "*" .) . (hasPrefix "." .)) -}}
{{- end -}}
{{- end -}}
-Dhttp.proxyHost={{ .host }} -Dhttp.proxyPort={{ .port }} -Dhttps.proxyHost={{ .host }} -Dhttps.proxyPort={{ .port }} -Dhttp.nonProxyHosts={{ join "|" $hosts }}
{{- if .bundle }} -Djavax.net.ssl.trustStore={{ .bundle | trimSuffix ".pem" }}.jks -Djavax.net.ssl.trustStoreType=jks -Djavax.net.ssl.trustStorePassword=changeit
{{- end -}}
{{- end -}}

{{/* Entries of env, of a container that calls through this release. */}}
{{- define "outrigger.application.env" -}}
{{- $gateway := eq .Values.mode "gateway" -}}
{{- $host := "127.0.0.1" -}}
{{- if $gateway -}}{{- $host = printf "%s.%s.svc" (include "outrigger.fullname" .) .Release.Namespace -}}{{- end -}}
{{- $port := int .Values.ports.proxy -}}
{{- $noProxy := (include "outrigger.noProxy" . | fromJson).hosts | join "," -}}
{{- $bundle := "" -}}
{{- if and (not $gateway) (include "outrigger.intercepts" .) -}}{{- $bundle = include "outrigger.bundle" . -}}{{- end -}}
{{- range list "HTTP_PROXY" "http_proxy" "HTTPS_PROXY" "https_proxy" }}
- name: {{ . }}
  value: http://{{ $host }}:{{ $port }}
{{- end }}
{{- range list "NO_PROXY" "no_proxy" }}
- name: {{ . }}
  value: {{ $noProxy | quote }}
{{- end }}
- name: NODE_USE_ENV_PROXY
  value: "1"
{{- if $bundle }}
{{- range list "SSL_CERT_FILE" "NODE_EXTRA_CA_CERTS" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "GIT_SSL_CAINFO" "AWS_CA_BUNDLE" "PIP_CERT" "CARGO_HTTP_CAINFO" "DENO_CERT" "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" }}
- name: {{ . }}
  value: {{ $bundle }}
{{- end }}
{{- end }}
- name: JAVA_TOOL_OPTIONS
  value: {{ include "outrigger.javaOptions" (dict "scope" . "host" $host "port" $port "bundle" $bundle) | quote }}
{{- end -}}
