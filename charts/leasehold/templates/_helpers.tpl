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

{{/* Names of the namespaces that are none of leasehold's business, as a list: those that the platform names, and the
release's own. A name that a department or a tenancy has is refused, as far as the cluster can be asked: what is theirs
stays in scope. */}}
{{- define "leasehold.systemNamespaces" -}}
{{- $names := list .Release.Namespace -}}
{{- range $name := .Values.systemNamespaces -}}
{{- $label := "leasehold.dev/namespace-role" -}}
{{- $found := lookup "v1" "Namespace" "" $name -}}
{{- if dig "metadata" "labels" $label "" $found -}}
{{- fail (printf "systemNamespaces: %s is a namespace of leasehold's, which no list takes out of its rules; leave it out, or release it first" $name) -}}
{{- end -}}
{{- $code := first (splitList "--" $name) -}}
{{- if contains "--" $name -}}
{{- $office := lookup "v1" "Namespace" "" (printf "dept-%s" $code) -}}
{{- if dig "metadata" "labels" $label "" $office -}}
{{- fail (printf "systemNamespaces: %s could be leased by the department %s, which there is; choose a name that begins otherwise" $name $code) -}}
{{- end -}}
{{- end -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- toJson (uniq $names) -}}
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
