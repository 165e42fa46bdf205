{{/* Labels of everything in the chart. The label leasehold.dev/managed-by is the operator's alone and not among them. */}}
{{- define "leasehold.labels" -}}
{{ include "leasehold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Labels that select the operator's pod. */}}
{{- define "leasehold.selector" -}}
app.kubernetes.io/name: leasehold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The operator's identity, as the API server sees it. */}}
{{- define "leasehold.operator" -}}
system:serviceaccount:{{ .Release.Namespace }}:leasehold
{{- end }}

{{/* Match condition: the request is not the operator's. */}}
{{- define "leasehold.notTheOperator" -}}
- name: not-the-operator
  expression: request.userInfo.username != '{{ include "leasehold.operator" . }}'
{{- end }}

{{/* Match condition: the request is not that of a break-glass user, where there are any. */}}
{{- define "leasehold.notBreakGlass" -}}
{{- with .Values.breakGlassUsers -}}
- name: not-break-glass
  expression: {{ printf "!(request.userInfo.username in %s)" (toJson .) | toJson }}
{{- end }}
{{- end }}

{{/* Names of the provisioners that clone claims, as a list. */}}
{{- define "leasehold.cloningProvisioners" -}}
{{- $users := list -}}
{{- range .Values.cloningProvisioners -}}
{{- $users = append $users (printf "system:serviceaccount:%s:%s" .namespace .serviceAccount) -}}
{{- end -}}
{{- toJson $users -}}
{{- end }}

{{/* Variable `name` of a policy: what the namespace's annotation lists; nothing where there is none. */}}
{{- define "leasehold.listed" -}}
- name: {{ .name }}
  expression: >-
    has(namespaceObject.metadata.annotations)
    && '{{ .annotation }}' in namespaceObject.metadata.annotations
    ? namespaceObject.metadata.annotations['{{ .annotation }}'].split(',').map(e, e.trim()).filter(e, e != '')
    : []
{{- end }}

{{/* Rule of RBAC verbs for reading. */}}
{{- define "leasehold.read" -}}
[get, list, watch]
{{- end }}
