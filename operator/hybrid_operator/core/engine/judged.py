"""Judging a model once, however often and by however many resources it is asked for: pure.

Whether a model fits depends on what its resource says of it and on nothing else, and is a third of
the work of a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.engine.fit import Fit, fit
from hybrid_operator.core.written import canonical

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.defaults import EngineDefaults

LIMIT = 1024
"""Judgements that are remembered."""

_judged: dict[tuple[str, EngineDefaults], Fit] = {}


def judge(model: ModelSpec, defaults: EngineDefaults) -> Fit:
    """Return what `fit` says."""
    key = canonical(model), defaults
    known = _judged.get(key)
    if known is None:
        while len(_judged) >= LIMIT:
            del _judged[next(iter(_judged))]
        known = _judged[key] = fit(model, defaults)
    return known
