"""Who claims which GPUs, and what bounds them besides the platform's pool: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_operator.core import naming
from hybrid_operator.core.engine.intent import gpu_count, resource
from hybrid_operator.core.scaling.arbitrate import Demand
from hybrid_operator.core.scaling.quota import room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.scaling.quota import Quotas
    from hybrid_operator.core.state import Pool
    from hybrid_operator.kube.kinds import Key

_ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Claim:
    """What one model wants of the GPUs."""

    key: str
    """Unique among all models."""
    owner: Key
    """Whose model it is."""
    model: ModelSpec
    least: int
    wanted: int
    current: int

    @property
    def grows(self) -> bool:
        """Whether it wants more GPUs than it has."""
        return self.wanted > self.current and gpu_count(self.model) > 0

    @property
    def quota(self) -> tuple[str, str]:
        """Namespace, and the extended resource that a replica takes of its quota."""
        return self.owner.namespace, resource(self.model)


def demands(claims: Iterable[Claim], pool: Pool) -> tuple[Demand, ...]:
    """Return what is to be shared out, with each namespace's priority and weight."""
    found = []
    for each in claims:
        share = pool.shares.get(each.owner.namespace)
        found.append(
            Demand(
                key=each.key,
                gpu=_type(each.model),
                gpus=gpu_count(each.model),
                least=each.least,
                wanted=each.wanted,
                current=each.current,
                quota="/".join(each.quota),
                priority=share.priority if share else 0,
                weight=share.weight if share else 1.0,
            )
        )
    return tuple(found)


def rest(gpus: Mapping[str, int], held: Iterable[tuple[ModelSpec, int]]) -> dict[str, int]:
    """Return the platform's GPUs by type that are left for claims.

    Args:
        gpus: Of the pool.
        held: Models that claim none, with their replicas: their number is fixed or somebody else's,
            or they are paused.
    """
    left = dict(gpus)
    for model, replicas in held:
        if _type(model) in left:
            left[_type(model)] = max(left[_type(model)] - gpu_count(model) * replicas, 0)
    return left


def _type(model: ModelSpec) -> str:
    return model.accelerator.type or model.accelerator.resource_name or ""


def bounds(
    claims: Sequence[Claim],
    quotas: Quotas,
    pods: Callable[[Key], Iterable[Mapping[str, Any]]],
) -> dict[str, int]:
    """Return how many GPUs each quota leaves to the models that claim them.

    Args:
        claims: Of all models that are decided on.
        quotas: As they were read.
        pods: Returns a resource's pods, trimmed.
    """
    if not quotas:
        return {}
    ours: Counter[tuple[str, str]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    for each in claims:
        if each.quota in quotas:
            label, gpus = naming.fit(each.model.name), gpu_count(each.model)
            ours[each.quota] += gpus * sum(_is_engine(pod, label) for pod in pods(each.owner))
            asked[each.quota] += gpus * min(each.current, each.wanted)
    return {"/".join(key): room(all_, ours[key], asked[key]) for key, all_ in quotas.items()}


def _is_engine(pod: Mapping[str, Any], label: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    return labels.get(naming.MODEL_LABEL) == label and not ended
