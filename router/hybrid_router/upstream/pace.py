"""How long a whole answer may take, learnt from answers.

A stream shows early that a backend works; an unstreamed answer shows nothing until it is complete,
so that the time to a stream's first token says little about it. Its limit is the 99th percentile of
the time to the first token, plus that of the time per token for every token it may have.
"""

from __future__ import annotations

from typing import Final

from hybrid_router.table import Timeouts

QUANTILE: Final = 0.99
STEP: Final = 0.05
PRIOR_TTFT: Final = 1.0
PRIOR_ITL: Final = 0.05
"""Seconds per token before anything was seen: a slow engine under load."""

_DEFAULT_FIRST_BYTE: Final = Timeouts().first_byte


class Pace:
    """Quantiles of one backend's speed.

    They follow the observations by stochastic approximation (Robbins and Monro, 1951): a large step
    up for each one above, a small one down for each below, in proportion to the present value.
    """

    __slots__ = ("itl", "ttft")

    def __init__(self) -> None:
        self.ttft = PRIOR_TTFT
        self.itl = PRIOR_ITL

    def streamed(self, ttft: float) -> None:
        """Take a stream's time to the first token, in seconds."""
        self.ttft = _follow(self.ttft, ttft)

    def whole(self, seconds: float, tokens: int) -> None:
        """Take a whole answer's duration and its tokens."""
        if tokens > 0:
            self.itl = _follow(self.itl, seconds / tokens)

    def limit(self, timeouts: Timeouts, tokens: int) -> float:
        """Return the seconds that a whole answer of up to `tokens` tokens may take.

        A first-byte timeout that the table sets is taken as it stands.
        """
        if timeouts.first_byte != _DEFAULT_FIRST_BYTE:
            return timeouts.first_byte
        return max(timeouts.first_byte, self.ttft + tokens * self.itl)


def _follow(quantile: float, seen: float) -> float:
    share = QUANTILE if seen > quantile else QUANTILE - 1.0
    return quantile * (1.0 + STEP * share)
