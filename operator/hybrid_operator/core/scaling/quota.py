"""How many GPUs a namespace's ResourceQuotas leave to our models: pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "requests."
"""By Kubernetes, the quota of an extended resource has no other name."""
MATCHED = frozenset({"NotTerminating", "NotBestEffort"})
"""Scopes that all our engines are in. A quota that has others may not be about them."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One resource's limit in one ResourceQuota."""

    hard: int
    used: int
    """Of it, by pods of whomever."""


Quotas = dict[tuple[str, str], list[Quota]]
"""By namespace and name of an extended resource."""


def read(objects: Iterable[Mapping[str, Any]]) -> Quotas:
    """Return what ResourceQuotas say of extended resources."""
    found: Quotas = defaultdict(list)
    for each in objects:
        spec, status = each.get("spec") or {}, each.get("status") or {}
        selected = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
        scopes = {*(spec.get("scopes") or ()), *(term.get("scopeName") for term in selected)}
        if not scopes <= MATCHED:
            continue
        used = status.get("used") or {}
        for name, hard in (spec.get("hard") or {}).items():
            resource = name.removeprefix(PREFIX)
            if resource != name and "/" in resource and str(hard).isdecimal():
                taken = str(used.get(name, 0))
                quota = Quota(int(hard), int(taken) if taken.isdecimal() else 0)
                found[each["metadata"]["namespace"], resource].append(quota)
    return dict(found)


def room(quotas: Iterable[Quota], ours: int, asked: int) -> int:
    """Return how many of a resource our models may hold in all.

    Args:
        quotas: All that hold for it, just read.
        ours: What our pods hold.
        asked: What the replicas hold, or will hold, that are asked for already. A quota takes none
            of them away, as it ends no pod in Kubernetes either.
    """
    left = min(each.hard - max(each.used - ours, 0) for each in quotas)
    return max(left, asked, 0)
