"""The score of a prompt: a weighted sum of its features' ranks, and of products of some of them.

Each feature becomes a normal score (van der Waerden: where it stands among the labelled questions)
by a table of steps. So a value never seen counts as the largest or smallest one seen, nothing
explodes, and the weights can be read. It carries over to unseen subjects as well as boosted trees
(`docs/classifier.md`), and everything runs in C: no loop over features is written in Python.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import combinations, starmap
from operator import getitem, itemgetter, mul
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.classify import features

if TYPE_CHECKING:
    from collections.abc import Sequence

PAIRED = (
    "length", "digits", "symbols", "options", "options-digits", "distinct", "word-length", "names",
)  # fmt: skip
"""Features whose products count as well: how long, how formal, and what kind of options."""
_PAIRED = itemgetter(*map(features.NAMES.index, PAIRED))


class Additive(msgspec.Struct, frozen=True, array_like=True):
    """A fitted score, in the order of `features.NAMES`."""

    bias: float
    edges: list[list[float]]
    """Of each feature's steps, rising."""
    steps: list[list[float]]
    """Of each feature: its normal score below the first edge, then from each edge on."""
    weights: list[float]
    pairs: list[float]
    """Weights of the products of `PAIRED`, in the order of `itertools.combinations`."""

    def score(self, found: Sequence[float]) -> float:
        """Return the log-odds, before calibration, for what `features.surface` found."""
        normal = self.normal(found)
        products = starmap(mul, combinations(_PAIRED(normal), 2))
        total: float = sum(map(mul, self.weights, normal), self.bias)
        return sum(map(mul, self.pairs, products), total)

    def normal(self, found: Sequence[float]) -> list[float]:
        """Return the features' normal scores."""
        return list(map(getitem, self.steps, map(bisect_right, self.edges, found)))
