"""What one replica can do, in prompt tokens/s and generated tokens/s: learnt where it was busy.

A replica that does p prompt and g generated tokens/s is at p / prefill + g / decode of its
capacity; at saturation that is 1. From saturated samples of different mixes both rates follow, each
multiplied by what its share of the load has of the error (exponentiated gradient: Kivinen and
Warmuth, 1997). One odd sample moves a rate by 5 % at most, and the rates stay near the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

GAIN = 0.2
"""Share of a sample's error that is learnt."""
MAX_ERROR = 0.25
"""An error beyond it counts as this much."""
NEAR = 8.0
"""The rates stay within this factor of what they started from."""
ODD = 10.0
"""A sample by which capacity would be off by more than this factor is not believed. It is more than
`NEAR`, or a replica whose rates are far from the estimate would never be seen as what it is."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Rates of one replica in tokens/s, and where they come from."""

    prefill: float
    decode: float
    seed_prefill: float
    """What the planner said."""
    seed_decode: float
    samples: int = 0
    """How many saturated samples it has learnt from."""

    def work(self, prompt: float, generated: float) -> float:
        """Return engine-seconds for so many tokens."""
        return prompt / self.prefill + generated / self.decode


def seeded(prefill: float, decode: float) -> Capacity:
    """Return a capacity that was never seen, in tokens/s."""
    return Capacity(prefill, decode, prefill, decode)


def remembered(prefill: float, decode: float, seed: Capacity) -> Capacity:
    """Return a capacity in tokens/s that was learnt before; what is beyond its bounds, at them."""
    return replace(
        seed, prefill=_near(seed.seed_prefill, prefill), decode=_near(seed.seed_decode, decode)
    )


def learn(capacity: Capacity, prompt: float, generated: float, *, saturated: bool) -> Capacity:
    """Return the capacity after a sample of one replica, in tokens/s.

    Args:
        capacity: what was known.
        prompt: tokens/s computed for prompts, cached ones apart.
        generated: tokens/s generated.
        saturated: whether requests waited although the replica worked. If not, the sample only says
            that it can do at least this much.
    """
    load = capacity.work(prompt, generated)
    if not 1 / ODD < load < ODD or (not saturated and load <= 1):
        return capacity
    step = GAIN * max(-MAX_ERROR, min(MAX_ERROR, 1 - load))
    share = prompt / capacity.prefill / load
    return replace(
        capacity,
        prefill=_near(capacity.seed_prefill, capacity.prefill * math.exp(-step * share)),
        decode=_near(capacity.seed_decode, capacity.decode * math.exp(-step * (1 - share))),
        samples=capacity.samples + 1,
    )


def _near(seed: float, rate: float) -> float:
    return min(max(rate, seed / NEAR), seed * NEAR)
