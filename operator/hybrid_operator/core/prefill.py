"""The rate of prefill that the table tells routers to start from: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core import naming
from hybrid_operator.core.engine import intent
from hybrid_operator.core.objects.router_pod import TABLE_KEY
from hybrid_operator.core.scaling.intent import decides, seed
from hybrid_operator.core.state import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.fit import Fit
    from hybrid_operator.core.state import Observed

NEAR = 1.5
"""A rate stays in the table while what is known is within this factor of it: routers learn the
rest themselves, and each change of the table is a write, and read by all routers."""


class _Backend(msgspec.Struct, rename="camel"):
    prefill_tokens_per_second: float | None = None


class _Table(msgspec.Struct):
    """The part of a RouteTable that is read here."""

    backends: dict[str, _Backend] = {}


def rates(observed: Observed, models: Iterable[tuple[ModelSpec, Fit]]) -> dict[str, float]:
    """Return prompt tokens/s of a replica by model, where an objective asks for it.

    What was learnt where a replica was saturated, else what the planner expects.
    """
    standing, found = _standing(observed), {}
    for model, fit in models:
        if intent.ttft_seconds(model) is None:
            continue
        known = _learnt(observed, model) or seed(model, fit).prefill
        stands = standing.get(naming.local_backend(model.name))
        near = stands is not None and known / NEAR <= stands <= known * NEAR
        found[model.name] = stands if stands is not None and near else max(float(round(known)), 1.0)
    return found


def _learnt(observed: Observed, model: ModelSpec) -> float | None:
    """Return what the status tells of a model that the operator decides on."""
    if not decides(model):
        return None
    for each in observed.status.get("models") or ():
        if each.get("name") == model.name:
            rate = (each.get("scaling") or {}).get("prefillTokensPerSecond")
            return float(rate) if isinstance(rate, int) and rate > 0 else None
    return None


def _standing(observed: Observed) -> dict[str, float]:
    """Return the rates of the table that is there, by backend."""
    child = observed.children.get(Ref("ConfigMap", naming.router(observed.owner.name)))
    try:
        text = str((child or {}).get("data", {}).get(TABLE_KEY, "{}"))
        backends = msgspec.json.decode(text, type=_Table).backends
    except msgspec.MsgspecError:
        return {}  # somebody wrote into it: it is written anew
    rates = {name: each.prefill_tokens_per_second for name, each in backends.items()}
    return {name: rate for name, rate in rates.items() if rate is not None}
