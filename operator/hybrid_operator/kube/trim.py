"""What is kept of an object that arrives from a watch: pure, and smaller by far than the object.

Objects are held for as long as they live, one copy each; what nothing reads is not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MESSAGE = 512
"""Longest message of a container or a condition that is kept, in characters."""

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "labels",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
)
_POD_CONDITIONS = ("Ready", "PodScheduled")
_DEPLOYMENT_STATUS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "conditions",
)


def child(obj: Mapping[str, Any]) -> Object:
    """Return what is kept of a child.

    Its own content stays whole, since the plan compares it. Of `managedFields` stays who owns
    `spec.replicas`: the plan must not send a number that an autoscaler has taken over.
    """
    kept = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    kept["metadata"] = _metadata(obj) | {"managedFields": _replica_owners(obj)}
    status = obj.get("status") or {}
    if obj.get("kind") == "Deployment":
        kept["status"] = _pick(status, _DEPLOYMENT_STATUS)
    elif status.get("loadBalancer"):
        kept["status"] = {"loadBalancer": status["loadBalancer"]}
    return kept


def pod(obj: Mapping[str, Any]) -> Object:
    """Return what is kept of a pod: who it is, where it answers, and why it may not."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = status.get("conditions") or []
    return {
        "metadata": _metadata(obj),
        "spec": {"containers": [_container(entry) for entry in spec.get("containers") or []]},
        "status": _pick(status, ("phase", "podIP", "reason"))
        | {
            "message": _short(status.get("message")),
            "conditions": [
                _pick(entry, ("type", "status", "reason"))
                | {"message": _short(entry.get("message"))}
                for entry in conditions
                if entry.get("type") in _POD_CONDITIONS
            ],
            "initContainerStatuses": _containers(status.get("initContainerStatuses")),
            "containerStatuses": _containers(status.get("containerStatuses")),
        },
    }


def resource(obj: Mapping[str, Any]) -> Object:
    """Return what is kept of a HybridInference."""
    return {
        "metadata": _metadata(obj),
        "spec": obj.get("spec") or {},
        "status": obj.get("status") or {},
    }


def _metadata(obj: Mapping[str, Any]) -> Object:
    metadata = obj["metadata"]
    kept = _pick(metadata, _METADATA)
    annotations = metadata.get("annotations") or {}
    kept["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    return kept


def _replica_owners(obj: Mapping[str, Any]) -> list[Object]:
    owns: Object = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return [
        _pick(entry, ("manager", "operation", "subresource")) | owns
        for entry in obj["metadata"].get("managedFields") or []
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]


def _container(entry: Mapping[str, Any]) -> Object:
    ports = [_pick(port, ("name", "containerPort")) for port in entry.get("ports") or []]
    return {"name": entry.get("name"), "ports": ports}


def _containers(entries: Iterable[Mapping[str, Any]] | None) -> list[Object]:
    return [
        _pick(entry, ("name", "ready", "restartCount"))
        | {"state": _state(entry.get("state")), "lastState": _state(entry.get("lastState"))}
        for entry in entries or []
    ]


def _state(state: Mapping[str, Any] | None) -> Object:
    """Keep reason, message and exit code of a container's waiting or terminated state."""
    return {
        name: _pick(detail, ("reason", "exitCode")) | {"message": _short(detail.get("message"))}
        for name, detail in (state or {}).items()
        if name in ("waiting", "terminated")
    }


def _short(text: object) -> str:
    return str(text or "")[:MESSAGE]


def _pick(source: Mapping[str, Any], names: Iterable[str]) -> Object:
    return {name: source[name] for name in names if name in source}
