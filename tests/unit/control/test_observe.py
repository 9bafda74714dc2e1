from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hybrid_operator.api.read import parse_stored
from hybrid_operator.control import observe
from hybrid_operator.core.naming import fit
from hybrid_operator.core.state import Owner
from hybrid_operator.kube import trim

READY = {"type": "Ready", "status": "True"}


def pod(**status: Any) -> dict[str, Any]:
    """A pod of an engine as the API server sends it, trimmed as the cache does."""
    return trim.pod(
        {
            "metadata": {
                "name": "p",
                "namespace": "ns",
                "uid": "1",
                "resourceVersion": "7",
                "labels": {
                    "app.kubernetes.io/component": "engine",
                    "hybridinference.dev/model": "llama",
                },
                "managedFields": [{"manager": "kubelet"}],
            },
            "spec": {"containers": [{"name": "vllm", "env": [{"name": "X", "value": "secret"}]}]},
            "status": status,
        }
    )


def container(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "vllm", "ready": False, "restartCount": 0, **fields}]


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(reason: str, code: int, message: str = "") -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code, "message": message}}


NO_NODE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        pytest.param({"phase": "Running", "conditions": [READY]}, "", "", id="a pod that is ready"),
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": NO_NODE,
                    }
                ],
            },
            "Unschedulable",
            NO_NODE,
            id="no node has room: the scheduler's own words",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "containerStatuses": container(
                    state=waiting("ImagePullBackOff", "Back-off pulling image")
                ),
            },
            "ImagePullBackOff",
            "Back-off pulling image",
            id="an image that cannot be pulled",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "containerStatuses": container(
                    state=waiting("CreateContainerConfigError", 'secret "hf" not found')
                ),
            },
            "CreateContainerConfigError",
            'secret "hf" not found',
            id="a secret that is missing",
        ),
        pytest.param(
            {
                "phase": "Running",
                "containerStatuses": container(
                    state=waiting("CrashLoopBackOff", "back-off 5m0s"),
                    lastState=ended("OOMKilled", 137),
                ),
            },
            "CrashLoopBackOff",
            "ended with exit code 137 (OOMKilled); back-off 5m0s",
            id="a crash loop says how the last run ended",
        ),
        pytest.param(
            {
                "phase": "Running",
                "containerStatuses": container(
                    state=waiting("CrashLoopBackOff", "back-off"),
                    lastState=ended("Error", 1, "ValueError: no such model\n"),
                ),
            },
            "CrashLoopBackOff",
            "ended with exit code 1 (Error): ValueError: no such model; back-off",
            id="and why, if the container left a message",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "initContainerStatuses": container(state=ended("Error", 2)),
                "containerStatuses": container(state=waiting("PodInitializing")),
            },
            "Error",
            "ended with exit code 2 (Error)",
            id="an init container that failed comes before what waits for it",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "initContainerStatuses": container(state=ended("Completed", 0)),
                "containerStatuses": container(state=waiting("ContainerCreating")),
            },
            "ContainerCreating",
            "",
            id="an init container that succeeded is no trouble",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
            "Evicted",
            "The node was low on memory.",
            id="a pod that was evicted",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": container(state={"running": {}})},
            "",
            "",
            id="a pod that runs and is not ready yet",
        ),
    ],
)
def test_why_a_pod_is_not_ready(status, reason, message):
    (view,) = observe.pods([pod(**status)], None)
    assert (view.reason, view.message) == (reason, message)


def test_a_view_says_what_the_pod_is():
    seen = pod(
        phase="Running",
        conditions=[READY],
        containerStatuses=container(restartCount=3, ready=True),
    )
    spec = parse_stored({"models": [{"name": "llama", "accelerator": {"type": "cpu"}}]})
    (view,) = observe.pods([seen], spec)
    assert (view.name, view.component, view.model) == ("p", "engine", "llama")
    assert (view.ready, view.phase, view.restarts, view.terminating) == (True, "Running", 3, False)


def test_a_model_whose_label_had_to_be_changed_is_found_by_its_name():
    spec = parse_stored({"models": [{"name": "7b", "accelerator": {"type": "cpu"}}]})
    seen = pod(phase="Running")
    seen["metadata"]["labels"]["hybridinference.dev/model"] = fit("7b")
    (view,) = observe.pods([seen], spec)
    assert view.model == "7b"


def test_pods_of_no_component_are_not_ours_to_judge():
    stranger = pod(phase="Running")
    del stranger["metadata"]["labels"]["app.kubernetes.io/component"]
    assert observe.pods([stranger], None) == ()


def test_nothing_of_a_pods_environment_is_kept():
    assert "secret" not in str(pod(phase="Running"))


def test_owner():
    metadata = {
        "name": "support",
        "namespace": "ml",
        "uid": "u",
        "generation": 4,
        "annotations": {"a": "b"},
        "creationTimestamp": "2026-01-02T03:04:05Z",
    }
    assert observe.owner({"metadata": metadata}) == Owner(
        name="support",
        namespace="ml",
        uid="u",
        generation=4,
        annotations={"a": "b"},
        deleting=False,
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert observe.owner({"metadata": metadata | {"deletionTimestamp": "x"}}).deleting


def test_a_spec_that_cannot_be_read_says_why_and_raises_nothing():
    spec, error = observe.spec({"spec": {"models": "many"}})
    assert spec is None
    assert "models" in error


def test_a_node_is_what_it_offers_and_what_pods_hold_of_it():
    labels = {"nvidia.com/gpu.product": "NVIDIA-A10G", "nvidia.com/gpu.memory": "23028"}
    allocatable = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "4"}
    holding = {"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}}
    pods = [
        {"spec": {"containers": [holding, holding]}, "status": {"phase": "Running"}},
        {"spec": {"containers": [holding]}, "status": {"phase": "Succeeded"}},
    ]
    raw = {
        "metadata": {"name": "n", "labels": labels},
        "status": {"allocatable": allocatable},
    }
    view = observe.node(raw, pods)
    assert (view.product, view.memory_mib) == ("NVIDIA-A10G", 23028)
    assert view.allocatable == {"nvidia.com/gpu": 4}
    assert (view.offers("nvidia.com/gpu"), view.free("nvidia.com/gpu")) == (4, 2)


def test_a_node_without_labels_is_one_of_which_nothing_is_known():
    view = observe.node({"metadata": {"name": "n"}}, [])
    assert (view.product, view.memory_mib, view.allocatable) == ("", 0, {})
