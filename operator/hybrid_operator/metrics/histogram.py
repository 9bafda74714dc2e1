"""Histograms of Prometheus, small enough to keep one of each kind for thousands of pods: pure."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = 64
"""Sets of bounds that are kept once: a release of vLLM has two."""


class Histogram(NamedTuple):
    """Cumulative counts by upper bound."""

    bounds: tuple[float, ...]
    """Ascending; one object for all histograms that have the same."""
    counts: array[float]

    @property
    def total(self) -> float:
        """Of all that was counted."""
        return self.counts[-1] if self.counts else 0.0


def histogram(buckets: Mapping[float, float]) -> Histogram:
    """Return what is counted by upper bound."""
    bounds = _shared(tuple(sorted(buckets)))
    return Histogram(bounds, array("d", map(buckets.__getitem__, bounds)))


def growth(before: Histogram, after: Histogram) -> Histogram:
    """Return what was counted between; what was not there before began at 0."""
    if before.bounds == after.bounds:
        base: Iterable[float] = before.counts
    else:
        known = dict(zip(*before, strict=True))
        base = [known.get(bound, 0.0) for bound in after.bounds]
    grown = [max(new - old, 0.0) for new, old in zip(after.counts, base, strict=True)]
    return Histogram(after.bounds, array("d", grown))


def added(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum, bound by bound."""
    total: dict[float, float] = {}
    for each in histograms:
        for bound, count in zip(*each, strict=True):
            total[bound] = total.get(bound, 0.0) + count
    return histogram(total)


def percentile(found: Histogram, share: float) -> float | None:
    """Return a quantile, as Prometheus' `histogram_quantile` has it; None: nothing was counted."""
    if found.total <= 0:
        return None
    wanted, low, under = share * found.total, 0.0, 0.0
    for bound, count in zip(*found, strict=True):
        if count >= wanted:
            if math.isinf(bound) or count <= under:
                return low
            return low + (bound - low) * (wanted - under) / (count - under)
        low, under = bound, count
    return low


@lru_cache(KINDS)
def _shared(bounds: tuple[float, ...]) -> tuple[float, ...]:
    return bounds


EMPTY = histogram({})
