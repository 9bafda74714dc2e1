"""From the resource to what the policy is asked: bounds, prices, and what a replica can do."""

from __future__ import annotations

import math
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hybrid_operator.core import replicas, table
from hybrid_operator.core.engine import intent, throughput
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.scaling.capacity import Capacity, seeded
from hybrid_operator.core.scaling.types import Hint, Objectives, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.api.models import ModelSpec, Period, Scaling
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.fit import Fit
    from hybrid_operator.core.engine.gpus import GPU
    from hybrid_operator.core.engine.memory import Serving

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
UTILIZATION = 0.85
LONG_PROMPT, LONG_ANSWER = (2000, 1), (1, 500)
"""Requests that are nearly all prefill, or all decode: prompt and answer in tokens."""
UNKNOWN_GPU, CPU = (4000.0, 600.0), (500.0, 60.0)
"""Prefill and decode tokens/s where the planner knows nothing; corrected by what is seen."""


def decides(model: ModelSpec) -> bool:
    """Whether the operator has anything to decide about a model's replicas."""
    scaling = model.scaling
    if scaling is None or scaling.mode == "External":
        return False
    return scaling.mode == "Recommend" or replicas.upper(scaling) > replicas.initial(scaling)


def policy(model: ModelSpec, prices: Mapping[str, str]) -> Policy:
    """Return what the policy is asked for one model.

    Args:
        model: of the resource.
        prices: USD per hour of a GPU by accelerator type, as the platform says.
    """
    scaling = model.scaling
    stated = model.cost.gpu_hour_usd if model.cost else None
    each = stated if stated is not None else prices.get(model.accelerator.type or "")
    gpus = max(intent.gpu_count(model), 1)
    if scaling is None:
        return Policy()
    return Policy(
        least=replicas.initial(scaling),
        most=replicas.upper(scaling),
        utilization=float(scaling.target_utilization or UTILIZATION),
        idle_seconds=intent.seconds_of(scaling.idle_after),
        gpu_hour_usd=None if each is None else float(Decimal(each)) * gpus,
        objectives=_objectives(model),
        hints=_hints(scaling),
        forecast=bool(scaling.forecast),
    )


def _objectives(model: ModelSpec) -> Objectives:
    """Return the objectives, without one that no number of replicas attains."""
    itl = intent.itl_seconds(model)
    known = None if itl is None else intent.rates(model, CURRENT)
    if itl is not None and known is not None and not known.attains(itl):
        itl = None
    return Objectives(intent.ttft_seconds(model), itl)


def _hints(scaling: Scaling) -> tuple[Hint, ...]:
    return tuple(
        Hint(
            frozenset(DAYS.index(day) for day in period.days) or frozenset(range(7)),
            *_minutes(period),
            period.min,
            ZoneInfo(period.time_zone) if period.time_zone else UTC,
        )
        for period in scaling.schedule
    )


def _minutes(period: Period) -> tuple[int, int]:
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (period.begin, period.end))
    return begin, end


def api_price(spec: HybridInferenceSpec, model: str) -> tuple[float, float] | None:
    """Return what the API takes that would answer instead of `model`, if somebody stated it.

    Returns:
        USD per million prompt and generated tokens: of the first API model with a price among the
        aliases of the model.
    """
    stated = {
        (provider.name, each.name): each.prices
        for provider in spec.providers
        for each in provider.models
    }
    served = {each.name: {each.name, *(lora.name for lora in each.loras)} for each in spec.models}
    names = served.get(model, {model})
    for alias in table.aliases(spec):
        if names.isdisjoint(alias.local):
            continue
        for target in alias.api:
            price = stated.get((target.provider, target.model))
            if price is not None:
                return float(price.input_usd), float(price.output_usd)
    return None


def seed(model: ModelSpec, fit: Fit) -> Capacity:
    """Return what the planner thinks that one replica can do."""
    if not intent.gpu_count(model):
        return seeded(*CPU)
    if fit.shape is None or fit.gpu is None or fit.serving is None or fit.impossible:
        return seeded(*UNKNOWN_GPU)
    found = []
    for (prompt, answer), fallback in zip((LONG_PROMPT, LONG_ANSWER), UNKNOWN_GPU, strict=True):
        traffic = throughput.Traffic(min(prompt, fit.serving.context - 1), answer)
        rate = throughput.tokens_per_s(fit.shape, fit.gpu, fit.serving, traffic)
        found.append(rate * fit.serving.gpus if rate else fallback)
    return seeded(min(found[0], _in_steps(fit.shape, fit.gpu, fit.serving)), found[1])


def _in_steps(shape: Shape, gpu: GPU, serving: Serving) -> float:
    """Return the prompt tokens/s of steps that others decode in, and that read all weights."""
    known = throughput.rates(shape, gpu, serving)
    if known is None or serving.batched_tokens is None:
        return math.inf
    return known.prefill_in_steps(serving.batched_tokens)
