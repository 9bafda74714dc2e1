"""What is remembered of a model's load: pure, small, and free of the wall clock.

Time is counted by what samples cover, so that a clock that jumps moves nothing. Only the hours of
the day, for forecasts, are those of the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hybrid_operator.core.scaling.levels import NOTHING, Levels, Rates
from hybrid_operator.core.scaling.profile import noted
from hybrid_operator.core.scaling.starts import NONE_SEEN, Starts

if TYPE_CHECKING:
    from datetime import datetime

    from hybrid_operator.core.scaling.profile import Profile
    from hybrid_operator.core.scaling.types import Decision, Policy, Sample

FAST_SECONDS, STABLE_SECONDS = 12.0, 60.0
"""Memory of the demand that panic looks at, and of the one that is planned for. As in Knative's
autoscaler, whose panic window is a tenth of its stable one; twice that, for scrapes are slower."""
STABILISATION_SECONDS = 300.0
"""No decision is below what was recommended within this time: HPA's default for scaling down."""
LEARNING_SECONDS = 600.0
"""Until so much was seen, the price scales nothing down."""
LIMIT_SECONDS = 15.0
"""Period of the step limit."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Window:
    """One model's load as remembered."""

    last: Sample | None = None
    seconds: float = 0.0
    """Time that was seen in full."""
    time: float = 0.0
    """Time that has passed, seen or not."""
    fast: float = 0.0
    stable: float = 0.0
    local_only: float = 0.0
    """Like `stable`, of what no API may serve."""
    ttft_seconds: float | None = None
    """Time to first token, like `stable`: one look may have seen a single request."""
    itl_seconds: float | None = None
    """Time between tokens, likewise."""
    usd_per_work: float | None = None
    """What an API takes for an engine-second, as of the last demand; None: nobody stated a price,
    or there was no demand yet."""
    quiet: float = 0.0
    """Seconds without a request."""
    local_quiet: float = math.inf
    """Seconds without one that no API may serve."""
    levels: Levels = NOTHING
    recent: tuple[tuple[float, int], ...] = ()
    """Recommendations (time, replicas) within `STABILISATION_SECONDS`, those that a later and
    higher one outdates left out: falling."""
    base: tuple[float, int] = (-math.inf, 0)
    """Time and replicas from which the step limit counts."""
    profile: Profile = ()
    """Demand by time of the day; empty without forecast."""
    starts: Starts = NONE_SEEN


NOTHING_SEEN = Window()


def observe(window: Window, sample: Sample, policy: Policy, now: datetime) -> Window:
    """Return the window after a sample.

    One that does not tell everything counts only where it shows more than is known: ignorance
    makes nothing smaller.
    """
    time = window.time + sample.seconds
    if not math.isfinite(sample.demand) or sample.demand < 0:
        sample = replace(sample, demand=0.0, complete=False)
    window = replace(
        window,
        last=sample,
        starts=window.starts.after(window.time, sample.replicas, sample.ready),
        time=time,
        base=_base(window, sample, time),
        usd_per_work=_usd_per_work(window, sample),
        recent=window.recent or ((time, sample.replicas),),
    )
    if sample.seconds <= 0 or (not sample.complete and sample.demand <= window.stable):
        return window
    demand = min(sample.demand, (policy.most + 1) * policy.utilization)
    seen = window.seconds > 0
    stable = _mean(window.stable, demand, sample.seconds, STABLE_SECONDS) if seen else demand
    return replace(
        window,
        seconds=window.seconds + sample.seconds,
        fast=_mean(window.fast, demand, sample.seconds, FAST_SECONDS) if seen else demand,
        stable=stable,
        local_only=_mean(
            window.local_only, min(sample.local_only, demand), sample.seconds, STABLE_SECONDS
        ),
        ttft_seconds=_smooth(window.ttft_seconds, sample.ttft_seconds, sample.seconds),
        itl_seconds=_smooth(window.itl_seconds, sample.itl_seconds, sample.seconds),
        quiet=0.0 if sample.requests or demand > 0 else window.quiet + sample.seconds,
        local_quiet=0.0 if sample.local_only > 0 else window.local_quiet + sample.seconds,
        levels=_levels(window, demand, policy, sample.seconds),
        profile=noted(window.profile, stable, now) if policy.forecast else (),
    )


def remember(window: Window, decision: Decision) -> Window:
    """Return the window after a decision."""
    recommended = decision.recommended
    kept = tuple(
        (time, replicas)
        for time, replicas in window.recent
        if replicas > recommended and time >= window.time - STABILISATION_SECONDS
    )
    return replace(window, recent=(*kept, (window.time, recommended)))


def standing(window: Window, replicas: int) -> Window:
    """Return the window as if so many replicas were asked for, whatever is."""
    last = None if window.last is None else replace(window.last, replicas=replicas)
    return replace(window, last=last, base=(window.time, replicas))


def priced(window: Window, policy: Policy) -> bool:
    """Whether both prices are known, and a replica costs something."""
    return bool(policy.gpu_hour_usd) and window.usd_per_work is not None


def cold_start(window: Window, policy: Policy) -> float:
    """Return the seconds from asking for a replica until it serves: as seen, else as assumed."""
    return round(window.starts.seconds, 1) or policy.cold_start_seconds


def _usd_per_work(window: Window, sample: Sample) -> float | None:
    """A price that was taken back is no price any more, whatever was remembered of it."""
    if sample.api_usd is None:
        return None
    each = sample.api_usd / sample.demand if sample.demand > 0 else math.nan
    return each if math.isfinite(each) else window.usd_per_work


def _levels(window: Window, demand: float, policy: Policy, seconds: float) -> Levels:
    each = window.usd_per_work
    if not policy.gpu_hour_usd or each is None:
        return window.levels
    usd = policy.gpu_hour_usd / _HOUR
    cold = cold_start(window, policy)
    rates = Rates(seconds, usd * seconds, usd * cold, cold)
    return window.levels.after(demand, demand * each, policy.utilization, rates)


def _base(window: Window, sample: Sample, time: float) -> tuple[float, int]:
    if time - window.base[0] >= LIMIT_SECONDS:
        return time, sample.replicas
    return window.base


def _smooth(mean: float | None, value: float | None, seconds: float) -> float | None:
    if value is None or not math.isfinite(value):
        return mean
    return value if mean is None else _mean(mean, value, seconds, STABLE_SECONDS)


def _mean(mean: float, value: float, seconds: float, horizon: float) -> float:
    return mean + (1 - math.exp(-seconds / horizon)) * (value - mean)
