"""Why a workload's replicas do not answer: what Kubernetes says of its pods, as a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_operator.core.engine import gated

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.api.base import SecretKeyRef
    from hybrid_operator.core.state import Object, PodView
    from hybrid_operator.core.view import Workload

_IMAGE = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
_CONFIG = frozenset({"CreateContainerConfigError"})
_UNSCHEDULABLE = frozenset({"Unschedulable", "SchedulingGated", "SchedulerError"})
_CRASH = frozenset(
    {
        "ContainerCannotRun",
        "CrashLoopBackOff",
        "CreateContainerError",
        "Error",
        "OOMKilled",
        "RunContainerError",
        "StartError",
    }
)
_REFUSED = re.compile(
    "gated repo|GatedRepoError|is restricted. You must have access", re.IGNORECASE
)
"""How `huggingface_hub` and `transformers` say that a repository is gated to the token used."""
_RESTARTS = 2
"""Restarts after which a container that does not answer is taken to crash."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is not ready."""

    reason: str
    message: str
    blocked: bool = False
    """Whether it waits for a person; otherwise time, or a node autoscaler, may mend it."""


def find(part: Workload) -> Cause:
    """Return the first cause that holds; those that need a person come first."""
    for rule in _RULES:
        cause = rule(part)
        if cause is not None:
            return cause
    if part.live is None and not part.wanted:
        return Cause("NotCreated", f"{part.name}: not created yet")
    message = f"{part.name}: {part.ready} of {part.wanted} replicas answer; the others are starting"
    return Cause("Starting", message)


def unschedulable(part: Workload) -> Cause | None:
    """Return what the scheduler says where it finds no node, in its own words."""
    pod = _first(part, _UNSCHEDULABLE)
    if pod is None:
        return None
    return Cause("Unschedulable", f"{part.name}: {pod.message or pod.reason}")


def _held(part: Workload) -> Cause | None:
    if not part.held:
        return None
    message = f"{part.name} is not started, because it cannot run so: see the condition Fits"
    return Cause("DoesNotFit", message, blocked=True)


def _foreign(part: Workload) -> Cause | None:
    if not part.foreign:
        return None
    names = ", ".join(f"{ref.kind} {ref.name}" for ref in part.foreign)
    message = (
        f"{part.name}: {names} is there already, made by somebody else, and is left alone; "
        "delete it, or give this resource another name"
    )
    return Cause("NameConflict", message, blocked=True)


def _image(part: Workload) -> Cause | None:
    pod = _first(part, _IMAGE)
    if pod is None:
        return None
    return Cause("ImagePullFailed", f"{part.name}: {pod.reason}: {pod.message}", blocked=True)


def _config(part: Workload) -> Cause | None:
    pod = _first(part, _CONFIG)
    if pod is None:
        return None
    said = f"{part.name}: {pod.message or pod.reason}"
    if part.secret is None or "secret" not in pod.message.lower():
        return Cause("ConfigMissing", said, blocked=True)
    return Cause(
        "SecretMissing",
        f"{said}; create it: {create_secret(part.secret, part.namespace)}",
        blocked=True,
    )


def _crash(part: Workload) -> Cause | None:
    waiting = [pod for pod in part.pods if not pod.ready and not pod.terminating]
    # Between two crashes a container runs for a while; the count says what its state does not.
    found = (pod for pod in waiting if pod.reason in _CRASH or pod.restarts >= _RESTARTS)
    pod = next(found, None)
    if pod is None:
        return None
    message = (
        f"{part.name}: pod {pod.name} was restarted {pod.restarts} times and does not answer; "
        f"see kubectl logs {pod.name} --previous"
    )
    message = f"{message}: {pod.message}" if pod.message else message
    return Cause("Crashing", "; ".join([message, *_gated(part, pod)]), blocked=True)


def _gated(part: Workload, pod: PodView) -> list[str]:
    if part.gated:
        return [f"{gated.advice(part.gated)} in source.huggingFace.token"]
    if _REFUSED.search(pod.message):
        return ["Hugging Face refuses the download: accept the licence with the token's account"]
    return []


def _refused(part: Workload) -> Cause | None:
    condition = deployment_condition(part.live, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    return Cause("PodsRefused", f"{part.name}: {condition.get('message', '')}", blocked=True)


def _deadline(part: Workload) -> Cause | None:
    condition = deployment_condition(part.live, "Progressing")
    if condition.get("reason") != "ProgressDeadlineExceeded":
        return None
    message = (
        f"{part.name}: {part.ready} of {part.wanted} replicas answer, and the deadline is over"
    )
    scheduler = unschedulable(part)
    if scheduler is not None:
        message = f"{message}: {scheduler.message.removeprefix(f'{part.name}: ')}"
    return Cause("ProgressDeadlineExceeded", message, blocked=True)


_RULES: tuple[Callable[[Workload], Cause | None], ...] = (
    _held,
    _foreign,
    _refused,
    _image,
    _config,
    _crash,
    _deadline,
    unschedulable,
)


def create_secret(secret: SecretKeyRef, namespace: str) -> str:
    """Return the command that creates a Secret."""
    made = f"kubectl create secret generic {secret.name} -n {namespace}"
    return f"{made} --from-literal={secret.key}=..."


def deployment_condition(live: Object | None, kind: str) -> dict[str, Any]:
    """Return a Deployment's condition; empty where it has none of that kind."""
    found = (live or {}).get("status", {}).get("conditions") or ()
    return next((dict(each) for each in found if each.get("type") == kind), {})


def _first(part: Workload, reasons: frozenset[str]) -> PodView | None:
    pods = (pod for pod in part.pods if not pod.ready and not pod.terminating)
    return next((pod for pod in pods if pod.reason in reasons), None)
