"""A pod template may add what the platform allows, and is told what it does not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.objects.merge import merge_pod_template

OURS: dict[str, Any] = yaml.safe_load("""
metadata:
  labels: {app.kubernetes.io/instance: support}
spec:
  containers:
    - name: engine
      image: vllm
      env: [{name: HF_HOME, value: /cache}]
      resources: {requests: {cpu: "2", memory: 6Gi}, limits: {nvidia.com/gpu: "1"}}
      volumeMounts: [{name: cache, mountPath: /cache}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  tolerations: [{key: nvidia.com/gpu, operator: Exists}]
  affinity: {nodeAffinity: {ours: true}}
  volumes: [{name: cache, emptyDir: {}}]
""")


def merge(text: str) -> tuple[Any, list[str]]:
    merged, problems = merge_pod_template(OURS, yaml.safe_load(text), "engine", "podTemplate")
    return merged, [str(problem) for problem in problems]


def container(text: str) -> Any:
    merged, problems = merge(text)
    assert problems == []
    return merged["spec"]["containers"][0]


def test_nothing_added_changes_nothing():
    overlays: list[Any] = [None, {}, {"spec": {}}, {"spec": {"containers": []}}]
    for overlay in overlays:
        assert merge_pod_template(OURS, overlay, "engine", "podTemplate") == (OURS, [])


def test_labels_and_annotations_are_added():
    merged, problems = merge("metadata: {labels: {team: nlp}, annotations: {a: b}}")
    assert problems == []
    assert merged["metadata"] == {
        "labels": {"app.kubernetes.io/instance": "support", "team": "nlp"},
        "annotations": {"a": "b"},
    }


def test_variables_and_mounts_are_merged_by_key_and_resources_by_name():
    found = container("""
    spec:
      containers:
        - name: engine
          env: [{name: HF_HOME, value: /mine}, {name: PATH, value: /opt}]
          volumeMounts: [{name: vllm, mountPath: /opt/vllm, readOnly: true}]
          resources: {requests: {memory: 3Gi}, limits: {memory: 4Gi}}
    """)
    assert found["env"] == [
        {"name": "HF_HOME", "value": "/mine"},
        {"name": "PATH", "value": "/opt"},
    ]
    assert [mount["mountPath"] for mount in found["volumeMounts"]] == ["/cache", "/opt/vllm"]
    assert found["resources"] == {
        "requests": {"cpu": "2", "memory": "3Gi"},
        "limits": {"nvidia.com/gpu": "1", "memory": "4Gi"},
    }
    assert found["image"] == "vllm"


def test_volumes_are_added_or_replaced_as_a_whole():
    merged, problems = merge("""
    spec:
      volumes:
        - {name: vllm, persistentVolumeClaim: {claimName: vllm-env, readOnly: true}}
        - {name: cache, persistentVolumeClaim: {claimName: mine}}
    """)
    assert problems == []
    assert merged["spec"]["volumes"] == [
        {"name": "cache", "persistentVolumeClaim": {"claimName": "mine"}},
        {"name": "vllm", "persistentVolumeClaim": {"claimName": "vllm-env", "readOnly": True}},
    ]


def test_tolerations_are_added_and_an_affinity_replaces_ours():
    merged, problems = merge("""
    spec:
      tolerations: [{key: spot, operator: Exists}]
      affinity: {nodeAffinity: {theirs: true}}
      nodeSelector: {zone: a}
      priorityClassName: high
    """)
    assert problems == []
    spec = merged["spec"]
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["nvidia.com/gpu", "spot"]
    assert spec["affinity"] == {"nodeAffinity": {"theirs": True}}
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"zone": "a"}, "high")


def test_what_is_stricter_is_merged():
    found = container("""
    spec:
      containers:
        - {name: engine, securityContext: {runAsUser: 1000, runAsNonRoot: true}}
    """)
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 1000,
        "runAsNonRoot": True,
    }


REFUSED = [
    pytest.param(
        "spec: {hostNetwork: true}", "podTemplate.spec.hostNetwork", id="the host's network"
    ),
    pytest.param("spec: {hostPID: true}", "podTemplate.spec.hostPID", id="the host's processes"),
    pytest.param(
        "spec: {serviceAccountName: admin}",
        "podTemplate.spec.serviceAccountName",
        id="another service account",
    ),
    pytest.param(
        "spec: {initContainers: []}", "podTemplate.spec.initContainers", id="more containers"
    ),
    pytest.param(
        "spec: {containers: [{name: sidecar}]}", "podTemplate.spec.containers[0]", id="a sidecar"
    ),
    pytest.param(
        "spec: {containers: [{name: engine, command: [sh]}]}",
        "podTemplate.spec.containers[0].command",
        id="another command",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, envFrom: []}]}",
        "podTemplate.spec.containers[0].envFrom",
        id="variables from elsewhere",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, env: [{name: A, valueFrom: {secretKeyRef: {}}}]}]}",
        "podTemplate.spec.containers[0].env[0].valueFrom.secretKeyRef",
        id="another Secret's value",
    ),
    pytest.param(
        "spec: {volumes: [{name: a, hostPath: {path: /}}]}",
        "podTemplate.spec.volumes[0].hostPath",
        id="a path of the host",
    ),
    pytest.param(
        "spec: {volumes: [{name: a, secret: {secretName: s}}]}",
        "podTemplate.spec.volumes[0].secret",
        id="another Secret's files",
    ),
    pytest.param(
        "spec: {volumes: [{name: a, projected: {sources: []}}]}",
        "podTemplate.spec.volumes[0].projected",
        id="projected Secrets",
    ),
    pytest.param(
        "spec: {volumes: [{name: a}]}", "podTemplate.spec.volumes[0]", id="a volume of no kind"
    ),
    pytest.param(
        "spec: {volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]}",
        "podTemplate.spec.volumes[1]",
        id="a name twice",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, securityContext: {privileged: true}}]}",
        "podTemplate.spec.containers[0].securityContext.privileged",
        id="privilege",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, securityContext: {runAsUser: 0}}]}",
        "podTemplate.spec.containers[0].securityContext.runAsUser",
        id="root",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, securityContext: {allowPrivilegeEscalation: true}}]}",
        "podTemplate.spec.containers[0].securityContext.allowPrivilegeEscalation",
        id="escalation",
    ),
    pytest.param(
        "spec: {containers: [{name: engine, securityContext: {capabilities: {add: [ALL]}}}]}",
        "podTemplate.spec.containers[0].securityContext.capabilities.add",
        id="capabilities",
    ),
    pytest.param(
        "spec: {securityContext: {runAsUser: 0}}",
        "podTemplate.spec.securityContext",
        id="the pod's own security context",
    ),
    pytest.param(
        "metadata: {labels: {app.kubernetes.io/instance: x}}",
        "podTemplate.metadata.labels.app.kubernetes.io/instance",
        id="a label that we select by",
    ),
    pytest.param(
        "metadata: {annotations: {hybridinference.dev/applied: x}}",
        "podTemplate.metadata.annotations.hybridinference.dev/applied",
        id="an annotation of ours",
    ),
    pytest.param("metadata: {name: x}", "podTemplate.metadata.name", id="a name"),
    pytest.param(
        "spec: {nodeSelector: {gpu: true}}", "podTemplate.spec.nodeSelector.gpu", id="no text"
    ),
    pytest.param("spec: []", "podTemplate.spec", id="a list for an object"),
    pytest.param("other: 1", "podTemplate.other", id="something unknown"),
]


@pytest.mark.parametrize(("overlay", "path"), REFUSED)
def test_a_pod_template_may_not_ask_for(overlay, path):
    merged, problems = merge(overlay)
    assert [problem.split(":")[0] for problem in problems] == [path]
    assert merged == OURS


def test_the_message_says_what_is_allowed():
    _, problems = merge("spec: {hostNetwork: true}")
    (problem,) = problems
    assert problem == (
        "podTemplate.spec.hostNetwork: is not allowed by the platform; allowed are affinity, "
        "containers, imagePullSecrets, nodeSelector, priorityClassName, runtimeClassName, "
        "schedulerName, tolerations, topologySpreadConstraints, volumes"
    )


FIELDS = [
    "metadata",
    "labels",
    "annotations",
    "spec",
    "containers",
    "name",
    "env",
    "value",
    "valueFrom",
    "volumes",
    "volumeMounts",
    "mountPath",
    "emptyDir",
    "resources",
    "limits",
    "securityContext",
    "tolerations",
    "nodeSelector",
    "engine",
    "hostPath",
    "secret",
    "privileged",
]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["engine", "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(FIELDS), junk))
def test_whatever_is_written_is_merged_or_refused_and_grants_nothing(overlay):
    merged, problems = merge_pod_template(OURS, overlay, "engine", "podTemplate")
    if problems:
        assert merged == OURS
    kinds = {key for volume in merged["spec"]["volumes"] for key in volume}
    assert kinds <= {"name", "configMap", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"}
    assert "privileged" not in str(merged["spec"]["containers"])
    assert merged["metadata"]["labels"]["app.kubernetes.io/instance"] == "support"
