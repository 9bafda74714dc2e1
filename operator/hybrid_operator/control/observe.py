"""From cached objects to what a plan depends on: pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_operator.api.read import SpecError, parse_stored
from hybrid_operator.core.naming import COMPONENT_LABEL, MODEL_LABEL, fit
from hybrid_operator.core.state import MEMORY_LABEL, PRODUCT_LABEL, NodeView, Owner, PodView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_operator.api.resource import HybridInferenceSpec

Object = dict[str, Any]

_ORDINARY = frozenset({"", "Completed"})


class _Trouble(NamedTuple):
    reason: str = ""
    message: str = ""


def owner(resource: Mapping[str, Any]) -> Owner:
    """Return who is reconciled."""
    metadata = resource["metadata"]
    created = metadata.get("creationTimestamp")
    return Owner(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        annotations=metadata.get("annotations") or {},
        deleting=metadata.get("deletionTimestamp") is not None,
        created=datetime.fromisoformat(created) if created else None,
    )


def spec(resource: Mapping[str, Any]) -> tuple[HybridInferenceSpec | None, str]:
    """Return the spec as types; or None, and why it cannot be read."""
    try:
        return parse_stored(resource["spec"]), ""
    except SpecError as error:
        return None, str(error)


def pods(
    objects: Sequence[Mapping[str, Any]], spec: HybridInferenceSpec | None
) -> tuple[PodView, ...]:
    """Return the views of trimmed pods; those of no component are left out."""
    models = {fit(model.name): model.name for model in spec.models} if spec is not None else {}
    views = (_view(pod, models) for pod in objects)
    return tuple(view for view in views if view is not None)


def node(obj: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> NodeView:
    """Return what a node offers of accelerators, and what of it the `pods` on it hold."""
    labels = obj["metadata"].get("labels") or {}
    memory = str(labels.get(MEMORY_LABEL, ""))
    taken: Counter[str] = Counter()
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in _ENDED:
            taken.update(_held(pod))
    return NodeView(
        name=obj["metadata"]["name"],
        product=str(labels.get(PRODUCT_LABEL, "")),
        memory_mib=int(memory) if memory.isascii() and memory.isdigit() else 0,
        allocatable=extended((obj.get("status") or {}).get("allocatable")),
        taken=dict(taken),
    )


_ENDED = frozenset({"Succeeded", "Failed"})


def extended(amounts: Mapping[str, Any] | None) -> dict[str, int]:
    """Return the extended resources among `amounts`: those with a domain, which are counted."""
    return {
        name: int(amount)
        for name, amount in (amounts or {}).items()
        if "/" in name and str(amount).isascii() and str(amount).isdigit()
    }


def _held(pod: Mapping[str, Any]) -> Counter[str]:
    held: Counter[str] = Counter()
    for container in (pod.get("spec") or {}).get("containers") or []:
        held.update(extended((container.get("resources") or {}).get("limits")))
    return held


def _view(pod: Mapping[str, Any], models: Mapping[str, str]) -> PodView | None:
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    component = labels.get(COMPONENT_LABEL)
    if component not in ("engine", "router"):
        return None
    model = str(labels.get(MODEL_LABEL) or "")
    trouble = _trouble(status)
    containers = status.get("containerStatuses") or []
    return PodView(
        name=metadata["name"],
        component=component,
        model=models.get(model, model) if component == "engine" else None,
        ready=_condition(status, "Ready").get("status") == "True",
        phase=status.get("phase") or "Pending",
        reason=trouble.reason,
        message=trouble.message,
        restarts=sum(int(entry.get("restartCount") or 0) for entry in containers),
        terminating=metadata.get("deletionTimestamp") is not None,
    )


def _trouble(status: Mapping[str, Any]) -> _Trouble:
    """Return why a pod is not ready, in Kubernetes' words; empty when nothing says so."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _Trouble(scheduled.get("reason") or "", scheduled.get("message") or "")
    if status.get("reason"):  # Evicted, NodeLost and the like
        return _Trouble(status["reason"], status.get("message") or "")
    init, main = status.get("initContainerStatuses") or [], status.get("containerStatuses") or []
    for container in [*init, *main]:
        trouble = _container(container)
        if trouble.reason not in _ORDINARY:
            return trouble
    return _Trouble()


def _container(entry: Mapping[str, Any]) -> _Trouble:
    state = entry.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    last = (entry.get("lastState") or {}).get("terminated")
    if waiting is not None:
        said = waiting.get("message") or ""
        return _Trouble(waiting.get("reason") or "", "; ".join(filter(None, (_end(last), said))))
    if ended is not None and ended.get("exitCode"):
        return _Trouble(ended.get("reason") or "Error", _end(ended))
    return _Trouble()


def _end(ended: Mapping[str, Any] | None) -> str:
    """Say how a container ended."""
    if not ended:
        return ""
    text = f"ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'Error'})"
    message = (ended.get("message") or "").strip()
    return f"{text}: {message}" if message else text


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for entry in status.get("conditions") or []:
        if entry.get("type") == kind:
            found: Mapping[str, Any] = entry
            return found
    return {}
