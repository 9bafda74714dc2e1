"""From `spec.routing.comparison` to the table's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem
from hybrid_operator.core import naming, prices
from hybrid_router.table import Comparison, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.resource import HybridInferenceSpec


def of(spec: HybridInferenceSpec) -> Comparison | None:
    """Return what is compared; None where nothing is, or the judge is not there."""
    stated = spec.routing.comparison
    if stated is None or not float(stated.share) or not float(stated.usd_per_day):
        return None
    for provider in spec.providers:
        for model in provider.models:
            if (provider.name, model.name) == (stated.judge.provider, stated.judge.model):
                return Comparison(
                    judge=Target(
                        backend=naming.api_backend(provider.name),
                        model=model.upstream or model.name,
                    ),
                    share=float(stated.share),
                    usd_per_day=float(stated.usd_per_day),
                )
    return None


def problems(spec: HybridInferenceSpec) -> Iterator[Problem]:
    """Yield why nothing would be compared although it is asked for."""
    stated = spec.routing.comparison
    if stated is None:
        return
    if of(spec) is None:
        told = "names no model of a provider, or share or usdPerDay are 0: nothing is compared"
        yield Problem("spec.routing.comparison.judge", told)
    for provider in spec.providers:
        for model in provider.models:
            if prices.price(provider, model) is None:
                told = f"{provider.name}/{model.name} has no known price: requests that could go "
                yield Problem("spec.routing.comparison", f"{told}there are not compared")
