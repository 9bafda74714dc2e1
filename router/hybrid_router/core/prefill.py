"""When an engine would begin to answer, estimated from what it was sent before.

An engine computes prompts one after the other. So what a router has sent to a replica is a queue,
which empties at the rate of its prefill: a virtual clock, as in Zhang, "VirtualClock" (1990). The
rate is learnt from the times to the first token; other routers' requests make it look slower, and
prompts that the engine finds in its cache faster, which is what a request will meet.
"""

from __future__ import annotations

from typing import Final

PRIOR: Final = 4000.0
"""Prompt tokens/s before anything was seen: an 8B model on a GPU of 24 GB."""
STEP: Final = 0.05
FIRST_STEP: Final = 0.5
"""The first answers move the rate by more: an engine may be far from what is assumed."""
SHRINKS: Final = 0.9
SHORT_SECONDS: Final = 0.1
"""An answer that began sooner, and was expected to, says nothing about the rate of prefill."""


class Prefill:
    """The rate at which replicas of one backend compute prompts.

    It follows the median by stochastic approximation (Robbins and Monro, 1951): up where an answer
    began sooner than expected, down where it began later.
    """

    __slots__ = ("_step", "rate")

    def __init__(self) -> None:
        self.rate = PRIOR
        self._step = FIRST_STEP

    def took(self, expected: float, seconds: float | None) -> None:
        """Learn from a stream that was expected to begin after some seconds, and when it did."""
        if seconds is None:
            return
        if expected >= SHORT_SECONDS or seconds >= SHORT_SECONDS:
            self.rate *= 1.0 + (self._step if seconds < expected else -self._step)
            self._step = max(self._step * SHRINKS, STEP)
