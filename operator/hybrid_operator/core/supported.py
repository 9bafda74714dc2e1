"""What the resource may say and this release does not act on yet, named one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem
from hybrid_operator.core import comparison, unmatched
from hybrid_operator.core.engine import adapters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.api.resource import HybridInferenceSpec


def not_acted_on(spec: HybridInferenceSpec) -> list[Problem]:
    """Return each field that has no effect yet, and what happens instead."""
    return [
        *comparison.problems(spec),
        *_budgets(spec),
        *unmatched.problems(spec),
        *(p.below(f"spec.models[{i}]") for i, each in enumerate(spec.models) for p in _model(each)),
    ]


def _budgets(spec: HybridInferenceSpec) -> Iterator[Problem]:
    if spec.budgets:
        yield Problem("spec.budgets", "are not enforced yet; providers are used without a limit")


def _model(model: ModelSpec) -> Iterator[Problem]:
    yield from adapters.not_acted_on(model)
    if model.cache and model.cache.node_path:
        yield Problem(
            "cache.nodePath", "host paths are not mounted yet; the pod's own disk is used"
        )
