"""Who decides on an engine's replicas, and what we send meanwhile.

The main field manager creates with the initial number and goes on sending the observed one,
because as sole owner it would reset the field to 1 by leaving it out. Once another manager (an
autoscaler, `kubectl scale`) owns the field, it is left out for good: the value stays and the two
never fight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core import naming

if TYPE_CHECKING:
    from hybrid_operator.api.models import Scaling
    from hybrid_operator.core.state import Object


def initial(scaling: Scaling | None) -> int:
    """Return the replicas that a new engine starts with: `min`, 1 by default."""
    return 1 if scaling is None or scaling.min is None else scaling.min


def upper(scaling: Scaling | None) -> int:
    """Return the most replicas: `max`; by default 1, or `min` where that is higher."""
    lowest = initial(scaling)
    return max(1, lowest) if scaling is None or scaling.max is None else max(scaling.max, lowest)


def to_send(scaling: Scaling | None, live: Object | None) -> int | None:
    """Return the `spec.replicas` to apply; None leaves the field to the one who owns it."""
    if live is None:
        return initial(scaling)
    if has_other_owner(live):
        return None
    observed = current(live)
    if observed is None:
        return initial(scaling)
    if scaling is not None and scaling.mode in {"External", "Recommend"}:
        return observed
    return min(max(observed, initial(scaling)), upper(scaling))


def current(live: Object) -> int | None:
    """Return the replicas that a live Deployment asks for."""
    replicas = live.get("spec", {}).get("replicas")
    return replicas if isinstance(replicas, int) else None


SCALERS = frozenset({"kube-controller-manager", "keda-operator"})
"""Field managers of other autoscalers, HPAs among them, on most distributions of Kubernetes."""


def owned_by_autoscaler(live: Object) -> bool:
    """Whether the operator's own autoscaler owns `spec.replicas`."""
    return any(entry.get("manager") == naming.AUTOSCALER for entry in _owners(live))


def other_scaler(live: Object) -> str | None:
    """Return who else set the replicas as autoscalers do, by field manager; of `SCALERS` first."""
    managers = {
        str(entry.get("manager")) for entry in _owners(live) if entry.get("subresource") == "scale"
    }
    others = sorted(managers - {naming.AUTOSCALER}, key=lambda name: (name not in SCALERS, name))
    return others[0] if others else None


def _owners(live: Object) -> list[Object]:
    return [
        entry
        for entry in live.get("metadata", {}).get("managedFields", ())
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    ]


def has_other_owner(live: Object) -> bool:
    """Whether a field manager that is not our main one owns `spec.replicas`."""
    return any(
        entry.get("manager") != naming.MANAGER or entry.get("subresource") == "scale"
        for entry in _owners(live)
    )
