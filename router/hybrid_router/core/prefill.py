"""How fast an engine computes prompts, learnt from the times to the first token.

An engine computes prompts one after the other. So the prompts whose first token a router still
waits for are a queue before the next one, which is computed when all of them are: their tokens over
this rate. The rate is the one that nine answers of ten reach, so that as many begin as soon as
expected. Other routers' requests make an engine look slower, and prompts that it finds in its cache
faster, which is what a request will meet.
"""

from __future__ import annotations

from typing import Final

PRIOR: Final = 4000.0
"""Prompt tokens/s before anything was seen: an 8B model on a GPU of 24 GB."""
QUANTILE: Final = 0.1
LEAST_TOKENS: Final = 512
"""Of fewer, the time is not the prompts': a step, the network, what decodes beside them."""
FIRST_STEP: Final = 0.5
"""The first answers move the rate by more: an engine may be far from what is assumed."""
LAST_STEP: Final = 0.05
SHRINKS: Final = 0.9


class Prefill:
    """The rate at which replicas of one backend compute prompts: a low quantile of what was seen.

    It follows the answers by stochastic approximation (Robbins and Monro, 1951).
    """

    __slots__ = ("_step", "rate")

    def __init__(self) -> None:
        self.rate = PRIOR
        self._step = FIRST_STEP

    def took(self, tokens: int, seconds: float | None) -> None:
        """Learn from a stream.

        Args:
            tokens: of its prompt and of those before it.
            seconds: to its first token; None: there was none.
        """
        if tokens < LEAST_TOKENS or seconds is None or seconds <= 0:
            return
        self._step = max(self._step * SHRINKS, LAST_STEP)
        faster = tokens > self.rate * seconds
        self.rate *= 1.0 + self._step * (QUANTILE if faster else QUANTILE - 1.0)
