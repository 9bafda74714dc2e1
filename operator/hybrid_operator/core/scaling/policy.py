"""`decide`: from what is remembered to a number of replicas. Pure; reads as a table of contents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from hybrid_operator.core.scaling.profile import expected
from hybrid_operator.core.scaling.types import Decision, Reason
from hybrid_operator.core.scaling.window import (
    LEARNING_SECONDS,
    STABILISATION_SECONDS,
    cold_start,
    priced,
)

if TYPE_CHECKING:
    from datetime import datetime

    from hybrid_operator.core.scaling.types import Hint, Policy, Sample
    from hybrid_operator.core.scaling.window import Window

IDLE_SECONDS = 900.0
"""Time without a request after which a model with min 0 sleeps, where nothing is said; where a
price decides, without one that no API may serve."""
PANIC = 2.0
"""Demand beyond so many times what is ready is met at once: Knative's panic threshold of 200 %."""
STEP_FACTOR, STEP_REPLICAS = 2, 4
"""Within 15 s, replicas at most double, or grow by four: HPA's default for scaling up."""
SLO_HOLD = 0.8
"""Above this share of an objective nothing is scaled down."""
SLO_GROWTH = 2.0
"""Most by which one look at an objective multiplies replicas."""
SLO_LOAD = 0.4
"""Replicas less busy than this do not miss an objective for want of others."""
_HOUR = 3600.0


class _Wish(NamedTuple):
    replicas: int
    reason: Reason
    why: str


def decide(window: Window, policy: Policy, now: datetime) -> Decision:
    """Decide on the replicas of one model.

    Args:
        window: what is remembered, the newest sample in it.
        policy: what the user asked for.
        now: the time, for hints and forecasts.
    """
    sample = window.last
    if sample is None:
        return Decision(policy.least, "NoMetrics", "Nothing was seen yet.", policy.least)
    wish = _wish(window, sample, policy, now)
    bounded = min(max(wish.replicas, policy.least), policy.most)
    wish = _bounds(wish, bounded, policy)
    wish = _stabilised(_known(wish, window, sample, policy), window, policy)
    final = _limited(wish, window, policy)
    numbers = _numbers(window, sample, policy)
    return Decision(final.replicas, final.reason, final.why, bounded, numbers)


def _wish(window: Window, sample: Sample, policy: Policy, now: datetime) -> _Wish:
    """Return what is wanted, whatever was wanted before."""
    floors = [*_hints(policy, now), *_forecast(window, policy, now)]
    if _idle(window, policy):
        seconds = f"{window.quiet:.0f} s without a request"
        return max([_Wish(0, "Idle", seconds), *floors], key=_size)
    wishes = [_by_load(window, sample, policy), *_local(window, policy), *floors]
    wishes += _slo(window, sample, policy)
    best = max(wishes, key=_size)
    if sample.replicas == 0 and best.replicas > 0 and best.reason in ("Demand", "Panic", "Price"):
        return best._replace(reason="Wake", why=f"requests while no replica runs; {best.why}")
    return best


def _size(wish: _Wish) -> int:
    return wish.replicas


def _idle(window: Window, policy: Policy) -> bool:
    if policy.least > 0:
        return False
    after = policy.idle_seconds
    if after is None:
        after = math.inf if priced(window, policy) else IDLE_SECONDS
    return window.quiet >= after


def _by_load(window: Window, sample: Sample, policy: Policy) -> _Wish:
    """Return what the load asks for; where both prices are known, what earns its hour."""
    need = _for(window.stable, policy)
    reason: Reason = "Demand"
    if _for(window.fast, policy) > PANIC * max(sample.ready, 1):
        need, reason = max(need, _for(window.fast, policy)), "Panic"
    load = f"demand is {window.stable:.2f} replicas' worth of work"
    if not priced(window, policy):
        awake = policy.least == 0 and (sample.requests or sample.replicas > 0)
        return _Wish(max(need, 1) if awake else need, reason, load)
    earning = window.levels.wanted
    if earning < need:
        return _Wish(earning, "CostGuard", f"{load}, but the API serves the rest for less")
    if earning > need:
        return _Wish(earning, "Price", f"{load}; {earning} cost less than the API for its peaks")
    return _Wish(need, reason, load)


def _local(window: Window, policy: Policy) -> list[_Wish]:
    after = IDLE_SECONDS if policy.idle_seconds is None else policy.idle_seconds
    if window.local_quiet >= after:
        return []
    need = max(1, _for(window.local_only, policy))
    return [_Wish(need, "LocalOnly", "requests that may not leave the cluster")]


def _slo(window: Window, sample: Sample, policy: Policy) -> list[_Wish]:
    wanted, pairs = policy.objectives, []
    for name, mean, seen, limit in (
        ("time to first token", window.ttft_seconds, sample.ttft_seconds, wanted.ttft_seconds),
        ("time between tokens", window.itl_seconds, sample.itl_seconds, wanted.itl_seconds),
    ):
        if mean is not None and seen is not None and limit and math.isfinite(seen):
            # One slow look is no trend, and a good one after a start ends the matter.
            pairs.append((min(mean, seen) / limit, name))
    if not pairs or sample.ready == 0 or window.stable / sample.ready < SLO_LOAD:
        return []
    ratio, name = max(pairs)
    why = f"{name} is at {ratio:.0%} of its objective"
    if ratio > 1 and sample.ready >= sample.replicas:
        more = math.ceil(sample.ready * min(ratio, SLO_GROWTH))
        return [_Wish(max(more, sample.ready + 1), "SLO", why)]
    return [_Wish(sample.replicas, "SLO", why)] if ratio > SLO_HOLD else []


def _hints(policy: Policy, now: datetime) -> list[_Wish]:
    active = [hint.least for hint in policy.hints if _covers(hint, now)]
    return [_Wish(max(active), "Schedule", "the schedule asks for them now")] if active else []


def _covers(hint: Hint, now: datetime) -> bool:
    there = now.astimezone(hint.zone)
    minute, day = there.hour * 60 + there.minute, there.weekday()
    if hint.begin < hint.end:
        return day in hint.days and hint.begin <= minute < hint.end
    evening = day in hint.days and minute >= hint.begin
    return evening or ((day - 1) % 7 in hint.days and minute < hint.end)


def _forecast(window: Window, policy: Policy, now: datetime) -> list[_Wish]:
    if not policy.forecast:
        return []
    demand = expected(window.profile, now, cold_start(window, policy))
    need = _for(demand, policy)
    if priced(window, policy):
        full = math.floor(demand / policy.utilization)
        rest = demand - full * policy.utilization
        each, price = (window.usd_per_work or 0.0) * _HOUR, policy.gpu_hour_usd or 0.0
        earns = each * policy.utilization > price
        need = (full if earns else 0) + (need > full and each * rest > price)
    why = f"at this time of earlier days demand was {demand:.2f}"
    return [_Wish(need, "Forecast", why)] if need else []


def _bounds(wish: _Wish, bounded: int, policy: Policy) -> _Wish:
    if bounded == wish.replicas:
        return wish
    limit = f"max is {policy.most}" if bounded < wish.replicas else f"min is {policy.least}"
    return _Wish(bounded, "Bounds", f"{limit}; {wish.why}")


def _known(wish: _Wish, window: Window, sample: Sample, policy: Policy) -> _Wish:
    """Hold where too little is known to take a replica away."""
    current = min(max(sample.replicas, policy.least), policy.most)
    if wish.replicas >= current:
        return wish
    if not sample.complete:
        return _Wish(current, "NoMetrics", "an engine or a router does not tell; held")
    if priced(window, policy) and wish.reason != "Idle" and window.seconds < LEARNING_SECONDS:
        seen = f"{window.seconds:.0f} of {LEARNING_SECONDS:.0f} s"
        why = f"{seen} were seen before the price may decide"
        return _Wish(current, "Stabilising", why)
    return wish


def _stabilised(wish: _Wish, window: Window, policy: Policy) -> _Wish:
    since = window.time - STABILISATION_SECONDS
    highest = max((count for time, count in window.recent if time >= since), default=0)
    highest = min(max(highest, policy.least), policy.most)
    current = window.last.replicas if window.last else 0
    if wish.replicas >= highest or wish.reason == "Idle" or wish.replicas >= current:
        return wish
    why = f"{highest} were recommended within {STABILISATION_SECONDS:.0f} s; {wish.why}"
    return _Wish(min(highest, current), "Stabilising", why)


def _limited(wish: _Wish, window: Window, policy: Policy) -> _Wish:
    base = window.base[1]
    most = max(base * STEP_FACTOR, base + STEP_REPLICAS, policy.least)
    if wish.replicas <= most:
        return wish
    return _Wish(most, "StepLimit", f"at most {most} at once; {wish.why}")


def _for(demand: float, policy: Policy) -> int:
    return max(math.ceil(demand / policy.utilization - 1e-6), 0)


def _numbers(window: Window, sample: Sample, policy: Policy) -> dict[str, float]:
    found = {
        "demand_replicas": window.stable,
        "ready_replicas": float(sample.ready),
        "tokens_in_flight": sample.tokens_in_flight,
        "cold_start_seconds": cold_start(window, policy),
    }
    if priced(window, policy):
        found["api_usd_per_hour"] = window.stable * (window.usd_per_work or 0.0) * _HOUR
        found["gpu_usd_per_hour"] = (policy.gpu_hour_usd or 0.0) * sample.replicas
    if sample.ttft_seconds is not None:
        found["ttft_seconds"] = sample.ttft_seconds
    if sample.itl_seconds is not None:
        found["itl_seconds"] = sample.itl_seconds
    return found
