"""An additive score where speed counts: `Additive.score`, for one prompt.

Compiled, a loop over numbers is cheaper than calls into C for each of them, and needs less of what
lies in memory.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from hybrid_router.classify import features
from hybrid_router.classify.additive import PAIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.classify.additive import Additive


class Score:
    """What `Additive.score` says, number for number."""

    def __init__(self, additive: Additive) -> None:
        self._bias = additive.bias
        self._edges = additive.edges
        self._steps = additive.steps
        self._weights = additive.weights
        # Of a prompt, half of the features are 0: there is no dollar, and nobody is asked who.
        self._zeros = additive.normal([0.0] * len(additive.edges))
        places = combinations(map(features.NAMES.index, PAIRED), 2)
        self._pairs = [
            (first, second, weight)
            for (first, second), weight in zip(places, additive.pairs, strict=True)
        ]

    def of(self, found: Sequence[float]) -> float:
        """Return the log-odds, before calibration, for what `features.surface` found."""
        normal: list[float] = []
        total: float = self._bias
        for index, value in enumerate(found):
            if value:
                edges = self._edges[index]
                low, high = 0, len(edges)
                while low < high:
                    middle = (low + high) // 2
                    if value < edges[middle]:
                        high = middle
                    else:
                        low = middle + 1
                step = self._steps[index][low]
            else:
                step = self._zeros[index]
            normal.append(step)
            total += self._weights[index] * step
        for first, second, weight in self._pairs:
            total += weight * (normal[first] * normal[second])
        return total
