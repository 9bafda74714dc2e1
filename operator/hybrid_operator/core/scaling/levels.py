"""Whether the k-th replica earns its hour: one rule per level, learnt from what was asked for.

The k-th replica serves the work between k - 1 and k replicas' capacity. With an API beside it, it
is not needed because that work is there, but because the API would take more for it than the
replica costs. Which memory finds that out best differs: steady traffic wants a long one, bursts far
apart want a replica that goes soon and comes back at the first request. So every level tries all
`RULES` on paper, cold starts included, and follows the one that would have cost least ("follow the
leader": Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006, ch. 2). It starts with
the longest memory, and changes only for a clear gain.
"""

from __future__ import annotations

import math
from typing import NamedTuple

HORIZONS = (1800.0, 7200.0)
"""Seconds. On while the mean value of the level's work, with this memory, exceeds the price."""
PROOF_SECONDS = 60.0
"""A mean begins as if nothing had been asked for so long: a few busy seconds prove nothing."""
TIMEOUTS = (90.0, 300.0, 900.0)
"""Seconds. On until the level has had no work for so long."""
FIRST = len(HORIZONS) - 1
"""The rule that a level starts with."""
MEMORY_SECONDS = 21_600.0
"""With which what the rules would have cost fades."""
GAIN = 0.1
"""Share of its cost, beyond one cold start, by which another rule must be better to be followed."""


class Rates(NamedTuple):
    """What a step costs; the same for all levels."""

    seconds: float
    gpu_usd: float
    """A replica for the step."""
    start_usd: float
    """A replica for the time of a cold start."""
    cold_start_seconds: float


class Level(NamedTuple):
    """What is remembered of one level; rules in the order of `HORIZONS`, then `TIMEOUTS`."""

    means: tuple[float, ...] = (0.0,) * len(HORIZONS)
    """Value of its work in USD per second, not yet corrected for a short history."""
    quiet: float = math.inf
    """Seconds since it last had work."""
    costs: tuple[float, ...] = (0.0,) * (len(HORIZONS) + len(TIMEOUTS))
    """USD that following each rule would have cost, faded."""
    running: tuple[float, ...] = (0.0,) * (len(HORIZONS) + len(TIMEOUTS))
    """Seconds that each rule has been on; 0: off."""
    rule: int = FIRST
    """The one that is followed."""

    @property
    def wanted(self) -> bool:
        """Whether the replica should be there."""
        return self.running[self.rule] > 0


class Levels(NamedTuple):
    """All levels that ever had work; those above are off."""

    seen_seconds: float = 0.0
    levels: tuple[Level, ...] = ()

    @property
    def wanted(self) -> int:
        """How many replicas earn their hour."""
        return sum(level.wanted for level in self.levels)

    def after(self, demand: float, api_usd: float, size: float, rates: Rates) -> Levels:
        """Return what is known after one more step.

        Args:
            demand: replicas' worth of work asked for.
            api_usd: what an API would take for it, in USD per second.
            size: work that one replica may be given, in replicas' worth: its target utilisation.
            rates: of the step.
        """
        count = max(math.ceil(demand / size - 1e-9), 0)
        known = self.levels + (Level(),) * (count - len(self.levels))
        whole = api_usd * size / demand if demand > 0 else 0.0
        top = api_usd * (demand - (count - 1) * size) / demand if count else 0.0
        values = [whole] * (count - 1) + [top] * (count > 0) + [0.0] * (len(known) - count)
        step = _Step.of(rates, self.seen_seconds + rates.seconds)
        return Levels(
            self.seen_seconds + rates.seconds,
            tuple(step.level(level, value) for level, value in zip(known, values, strict=True)),
        )


class _Step(NamedTuple):
    """What is the same for all levels of a step."""

    rates: Rates
    fade: float
    """Of what the rules would have cost."""
    weights: tuple[float, ...]
    """Of the new value, by horizon."""
    bars: tuple[float, ...]
    """Which a mean must exceed, by horizon: the price, for as much of the memory as is filled."""

    @classmethod
    def of(cls, rates: Rates, seen: float) -> _Step:
        price = rates.gpu_usd / rates.seconds
        return cls(
            rates,
            math.exp(-rates.seconds / MEMORY_SECONDS),
            tuple(1 - math.exp(-rates.seconds / horizon) for horizon in HORIZONS),
            tuple(
                price * (1 - math.exp(-(seen + PROOF_SECONDS) / horizon)) for horizon in HORIZONS
            ),
        )

    def level(self, level: Level, value: float) -> Level:
        rates, fade = self.rates, self.fade
        seconds, gpu, cold = rates.seconds, rates.gpu_usd, rates.cold_start_seconds
        missed = value * seconds
        costs = tuple(
            [
                cost * fade + (gpu if on else 0.0) + (0.0 if on > cold else missed)
                for cost, on in zip(level.costs, level.running, strict=True)
            ]
        )
        means = tuple([m + w * (value - m) for m, w in zip(level.means, self.weights, strict=True)])
        quiet = 0.0 if value > 0 else level.quiet + seconds
        stays = [mean > bar for mean, bar in zip(means, self.bars, strict=True)]
        stays += [quiet < timeout for timeout in TIMEOUTS]
        running = tuple(
            [on + seconds if stay else 0.0 for on, stay in zip(level.running, stays, strict=True)]
        )
        return Level(means, quiet, costs, running, _leader(level.rule, costs, rates.start_usd))


def _leader(rule: int, costs: tuple[float, ...], start_usd: float) -> int:
    least, present = min(costs), costs[rule]
    if least + GAIN * present + start_usd < present:
        return costs.index(least)
    return rule


NOTHING = Levels()
"""Before any step."""
