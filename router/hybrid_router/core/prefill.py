"""How fast an engine computes prompts, learnt from the times to the first token.

An engine computes prompts one after the other. So the prompts whose first token a router still
waits for are a queue before the next one, which is computed when all of them are: their tokens over
this rate. The rate is the one that nine answers of ten reach, so that as many begin as soon as
expected. Other routers' requests make an engine look slower, and prompts that it finds in its cache
faster, which is what a request will meet.

It starts from what the table says. Tokens are estimated ones, as everywhere in the router; what
they are to the engine's is learnt with the rest.
"""

from __future__ import annotations

import math
from typing import Final

PRIOR: Final = 4000.0
"""Prompt tokens/s where the table says nothing: an 8B model on a GPU of 24 GB."""
QUANTILE: Final = 0.1
LEAST_TOKENS: Final = 512
"""Of fewer, the time is not the prompts': a step, the network, what decodes beside them."""
LEAST_SHARE: Final = 0.25
"""But it is, where they are expected to take so much of what an answer may take to begin: a slow
engine may never get more. By what is expected, not by what it took: then only odd ones would
count."""
FIRST_STEP: Final = 0.5
"""The first answers move the rate by more, and by the more the further it is from theirs: an engine
may be far from what is expected."""
LAST_STEP: Final = 0.05
SHRINKS: Final = 0.9


class Prefill:
    """The rate at which replicas of one backend compute prompts: a low quantile of what was seen.

    It follows the answers by stochastic approximation (Robbins and Monro, 1951).
    """

    __slots__ = ("_expected", "_step", "_within", "rate")

    def __init__(self) -> None:
        self.rate = PRIOR
        self._expected: float | None = None
        self._step = FIRST_STEP
        self._within = math.inf

    def expect(self, rate: float | None, within: float | None) -> None:
        """Take what the table says; another rate than before starts the learning anew.

        Args:
            rate: in tokens/s.
            within: seconds that an answer may take to begin; None: any.
        """
        self._within = math.inf if within is None else within
        if rate != self._expected:
            self._expected = rate
            self.rate = PRIOR if rate is None else rate
            self._step = FIRST_STEP

    def took(self, tokens: int, seconds: float | None) -> None:
        """Learn from a stream.

        Args:
            tokens: of its prompt and of those before it.
            seconds: to its first token; None: there was none.
        """
        least = min(LEAST_TOKENS, LEAST_SHARE * self._within * self.rate)
        if tokens < least or seconds is None or seconds <= 0:
            return
        self._step = max(self._step * SHRINKS, LAST_STEP)
        ratio = tokens / (self.rate * seconds)
        moves = self._step * (QUANTILE if ratio > 1.0 else QUANTILE - 1.0)
        self.rate *= (1.0 + moves) * ratio ** (self._step - LAST_STEP)
