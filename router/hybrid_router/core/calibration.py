"""Confidences, corrected by what outcomes say of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from hybrid_router.core.decision import Earlier, Verdict
from hybrid_router.table import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.table import Map

UNKNOWN: Final = "unknown"
"""The intent of what has none, as of prompts that `slm` judged."""
LEAST: Final = 1e-6
"""Confidences are kept this far from 0 and 1, where log-odds have no end."""


def log_odds(confidence: float) -> float:
    """Return ln(p / (1 - p)), bounded."""
    p = min(max(confidence, LEAST), 1.0 - LEAST)
    return math.log(p / (1.0 - p))


def probability(odds: float) -> float:
    """Return 1 / (1 + e^-z), without overflow."""
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-odds))
    e = math.exp(odds)
    return e / (1.0 + e)


def corrected(maps: Mapping[str, Map], intent: str | None, score: float) -> float:
    """Return a confidence as the intent's map has it, else as that for all others, else as it is.

    It is monotone in `score`, and never below 0 or above 1.
    """
    found = maps.get(intent or UNKNOWN) or maps.get(EVERY)
    if found is None or (found.slope == 1.0 and found.offset == 0.0):
        return score
    return probability(found.slope * log_odds(score) + found.offset)


def correct(maps: Mapping[str, Map], verdict: Verdict) -> Verdict:
    """Return a verdict with its confidence, and those of earlier turns, corrected."""
    if verdict.confidence is None:
        return verdict
    earlier = tuple(
        [
            Earlier(corrected(maps, turn.intent, turn.confidence), turn.intent)
            for turn in verdict.earlier
        ]
    )
    confidence = corrected(maps, verdict.intent, verdict.confidence)
    return Verdict(  # not `replace`, which costs 5 microseconds
        confidence, verdict.intent, verdict.classifier, verdict.error, earlier, verdict.confidence
    )
