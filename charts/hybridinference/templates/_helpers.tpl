{{- /* The names and labels that every template uses. */ -}}

{{- define "hybridinference.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hybridinference.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "hybridinference.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: name the ServiceAccount to use, or set serviceAccount.create to true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Selectors cannot change in place: these two labels are fixed. */ -}}
{{- define "hybridinference.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hybridinference.labels" -}}
{{ include "hybridinference.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* An image's reference, of (dict "image" VALUES "default" TAG). */ -}}
{{- define "hybridinference.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .default) -}}
{{- end -}}
{{- end -}}

{{- /* What the operator may do in a namespace with HybridInferences. */ -}}
{{- define "hybridinference.rules" -}}
# What it serves. It writes status and nothing else of the resource.
- apiGroups: [hybridinference.dev]
  resources: [hybridinferences]
  verbs: [get, list, watch]
- apiGroups: [hybridinference.dev]
  resources: [hybridinferences/status]
  verbs: [patch]
# Where OwnerReferencesPermissionEnforcement is on, an ownerReference that blocks deletion needs this.
- apiGroups: [hybridinference.dev]
  resources: [hybridinferences/finalizers]
  verbs: [update]
# The children of a HybridInference.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Autoscaling: the number of an engine's replicas, and which of its pods has least to lose.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, serviceaccounts, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# How many GPUs a namespace may have, which autoscaling keeps to.
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list]
# Whether an autoscaler that has set an engine's replicas is still there.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
# A router's Role lets it read its RouteTable and its backends' addresses. Kubernetes lets nobody grant
# what they may not do themselves: the verbs on configmaps above and on endpointslices below cover it.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
# Why a child is not ready stands in its pods. There is no verb on Secrets anywhere.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
