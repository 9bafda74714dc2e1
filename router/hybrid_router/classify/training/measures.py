"""How good a score is: pure functions over scores and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 10


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """Return the probability that a right answer scores above a wrong one; ties count half."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    rank_sum, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            end += 1
        mean = (at + end + 1) / 2
        rank_sum += mean * sum(right[i] for i in order[at:end])
        at = end
    good = sum(right)
    bad = len(right) - good
    return (rank_sum - good * (good + 1) / 2) / (good * bad) if good and bad else 0.5


def apgr(scores: Sequence[float], small: Sequence[bool], large: Sequence[bool]) -> float:
    """Return RouteLLM's average performance gap recovered: 0.5 is random (arXiv 2406.18665)."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    n = len(order)
    gap = (sum(large) - sum(small)) / n
    recovered, area = 0.0, 0.0
    for i in order:
        gained = (large[i] - small[i]) / n
        area += (recovered + gained / 2) / n
        recovered += gained
    return area / gap if gap else 0.5


def ece(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error over ten equal bins."""
    return sum(b.share * abs(b.said - b.was) for b in reliability(probabilities, right))


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of the reliability diagram."""

    said: float
    was: float
    share: float


def reliability(probabilities: Sequence[float], right: Sequence[bool]) -> list[Bin]:
    """Return the bins that hold anything."""
    members: list[list[int]] = [[] for _ in range(BINS)]
    for i, p in enumerate(probabilities):
        members[min(int(p * BINS), BINS - 1)].append(i)
    return [
        Bin(
            sum(probabilities[i] for i in inside) / len(inside),
            sum(right[i] for i in inside) / len(inside),
            len(inside) / len(probabilities),
        )
        for inside in members
        if inside
    ]


def share_at_precision(
    probabilities: Sequence[float], right: Sequence[bool], precision: float
) -> float:
    """Return the largest share, of the surest first, that is right so often."""
    order = sorted(range(len(right)), key=lambda i: -probabilities[i])
    good, best = 0, 0
    for taken, i in enumerate(order, start=1):
        good += right[i]
        if good >= precision * taken:
            best = taken
    return best / len(right)


def quality_curve(
    probabilities: Sequence[float], small: Sequence[bool], large: Sequence[bool]
) -> list[tuple[float, float, float]]:
    """Return (threshold, quality, local share) by falling threshold, one per distinct score.

    Quality is that of the answers, as a share of the large model's.
    """
    order = sorted(range(len(small)), key=lambda i: -probabilities[i])
    total = sum(large) or 1
    right, points = sum(large), [(1.0, 1.0, 0.0)]
    for taken, i in enumerate(order, start=1):
        right += small[i] - large[i]
        last = taken == len(order)
        if last or probabilities[order[taken]] != probabilities[i]:
            points.append((probabilities[i], right / total, taken / len(order)))
    return points


def threshold_for_quality(points: Sequence[tuple[float, float, float]], quality: float) -> float:
    """Return the lowest threshold of a curve that keeps the quality."""
    return min((t for t, q, _ in points if q >= quality), default=1.0)


def local_share(points: Sequence[tuple[float, float, float]], quality: float) -> float:
    """Return the largest share that can stay local at a quality."""
    return max((share for _, q, share in points if q >= quality), default=0.0)
