{{- define "waypost.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "waypost.labels" -}}
app.kubernetes.io/name: waypost
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "waypost.selector" -}}
app.kubernetes.io/name: waypost
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "waypost.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "waypost.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "waypost.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "waypost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "waypost.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- /* What gateways and workers have in common. */ -}}
{{- define "waypost.env" -}}
- { name: WAYPOST_HOST, value: "0.0.0.0" }
- { name: WAYPOST_DATA_DIR, value: /data }
- { name: STORAGE_LOCAL_PATH, value: /media }
- { name: WAYPOST_LOG_FORMAT, value: json }
- { name: DATABASE_TYPE, value: {{ .Values.database.type }} }
{{- if eq .Values.database.type "postgres" }}
- { name: DATABASE_HOST, value: {{ .Values.database.host | quote }} }
- { name: DATABASE_PORT, value: {{ .Values.database.port | quote }} }
- { name: DATABASE_NAME, value: {{ .Values.database.name | quote }} }
- { name: DATABASE_USERNAME, value: {{ .Values.database.username | quote }} }
- { name: POSTGRES_SCHEMA, value: {{ .Values.database.schema | quote }} }
- { name: DATABASE_SSL, value: {{ .Values.database.ssl | quote }} }
{{- end }}
{{- if .Values.redis.enabled }}
- { name: QUEUE_ENABLED, value: "true" }
- { name: REDIS_HOST, value: {{ .Values.redis.host | quote }} }
- { name: REDIS_PORT, value: {{ .Values.redis.port | quote }} }
{{- end }}
{{- range $variable, $key := dict "WAYPOST_MASTER_KEY" .Values.secrets.keys.masterKey "DATABASE_PASSWORD" .Values.secrets.keys.databasePassword "REDIS_PASSWORD" .Values.secrets.keys.redisPassword "API_MASTER_KEY" .Values.secrets.keys.apiMasterKey "METRICS_TOKEN" .Values.secrets.keys.metricsToken }}
{{- if and $key $.Values.secrets.existingSecret }}
- { name: {{ $variable }}_FILE, value: /secrets/{{ $key }} }
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end -}}

{{- define "waypost.probes" -}}
# A new session, a slow database or WhatsApp itself never restarts a pod: only a process that does not answer is restarted.
startupProbe:
  httpGet: { path: /api/health/live, port: http }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /api/health/live, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /api/health/ready, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{- define "waypost.secretVolume" -}}
{{- if .Values.secrets.existingSecret }}
- name: secrets
  secret: { secretName: {{ .Values.secrets.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- end -}}

{{- define "waypost.mediaVolume" -}}
- name: media
  persistentVolumeClaim: { claimName: {{ .Values.media.existingClaim | default (printf "%s-media" (include "waypost.name" .)) }} }
{{- end -}}
