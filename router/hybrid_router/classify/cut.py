"""The threshold where a policy states what it wants of it: a quality, or a share.

A quality is looked up in the model's curve, which was made out of fold on labels. Without a curve
it is the threshold itself: of what stays local that share is right, if the confidence is
calibrated. A share depends on what people ask here, so it follows the confidences seen, beginning
with the curve's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.classify.parameters import Point
    from hybrid_router.table import Policy

BINS: Final = 200
BEGINNING: Final = 200.0
"""Requests that the curve counts for."""
MEMORY: Final = 5_000.0
"""When so many are counted, all are halved: what people ask changes."""


def for_quality(curve: Sequence[Point], quality: float) -> float:
    """Return the lowest threshold of the curve that keeps a share of the API's quality."""
    chosen = 1.0
    for point in curve:  # by falling threshold; the first one below ends it
        if point.quality < quality:
            break
        chosen = point.threshold
    return chosen


class Cut:
    """The threshold of a policy, from a curve and from the confidences seen."""

    def __init__(self, curve: Sequence[Point]) -> None:
        self._curve = curve
        self._seen = [0.0] * BINS
        for above, below in pairwise(curve):
            self._seen[_bin(below.threshold)] += (below.local - above.local) * BEGINNING
        self._total = sum(self._seen)

    def threshold(self, policy: Policy) -> float:
        """Return the confidence from which the local model is asked first."""
        if policy.quality is not None:
            if not self._curve:
                return policy.quality
            return for_quality(self._curve, policy.quality)
        if policy.share is not None:
            return self._for_share(policy.share)
        return policy.threshold

    def saw(self, confidence: float) -> None:
        """Count a request's confidence."""
        self._seen[_bin(confidence)] += 1.0
        self._total += 1.0
        if self._total > MEMORY:
            self._seen = [count / 2 for count in self._seen]
            self._total /= 2

    def _for_share(self, share: float) -> float:
        left = share * self._total
        for index in range(BINS - 1, -1, -1):
            count = self._seen[index]
            if count >= left:
                part = left / count if count else 0.0
                return (index + 1 - part) / BINS if share else 1.0
            left -= count
        return 0.0


def _bin(confidence: float) -> int:
    return min(int(confidence * BINS), BINS - 1)
