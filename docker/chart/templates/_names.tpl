{{- define "clairo.labels" -}}
app.kubernetes.io/name: clairo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "clairo.allLabels" -}}
{{ include "clairo.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "clairo.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What every pod has. Service links would set CLAIRO_PORT and other names that the service refuses. */}}
{{- define "clairo.pod" -}}
automountServiceAccountToken: false
{{- with .Values.serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "clairo.container" -}}
image: {{ include "clairo.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* A value in quotes. Helm reads numbers as floats, and toString writes a million as 1e+06. */}}
{{- define "clairo.text" -}}
{{ ternary . (toJson .) (kindIs "string" .) | quote }}
{{- end }}

{{- define "clairo.databaseUrl" -}}
- name: CLAIRO_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: database-url}}
{{- end }}

{{- define "clairo.bundlesSecret" -}}
{{- with .Values.bundlesSecret }}
envFrom: [{secretRef: {name: {{ . }}}}]
{{- end }}
{{- end }}

{{- define "clairo.checked" -}}
{{- if not .Values.secret }}
{{- if or (gt (int .Values.replicas) 1) (ne .Values.autoscaling.kind "none") }}
{{- fail "several replicas share a PostgreSQL database; set secret to a Secret with the key database-url, or replicas to 1 and autoscaling.kind to none" }}
{{- end }}
{{- if .Values.retrain.enabled }}
{{- fail "retrain.enabled reads the service's PostgreSQL database; set secret to a Secret with the keys database-url and admin-key" }}
{{- end }}
{{- end }}
{{- if and .Values.retrain.enabled (not .Values.bundlesClaim) (not .Values.bundlesAddress) }}
{{- fail "retrain.enabled writes bundles that the service activates; set bundlesClaim to a ReadWriteMany claim, or bundlesAddress to s3://BUCKET/PREFIX" }}
{{- end }}
{{- if and .Values.bundlesClaim .Values.bundlesAddress }}
{{- fail "bundlesClaim and bundlesAddress are both set; leave one of them empty" }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas %d is above maxReplicas %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
