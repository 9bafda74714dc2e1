"""Of candidates that overlap, the surest."""

from __future__ import annotations

from bisect import bisect_right

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """What may be a finding."""

    type: str
    start: int
    end: int
    rank: int
    """The higher, the surer."""


def resolved(candidates: list[Candidate]) -> list[Candidate]:
    """Return the surest ones that do not overlap; of equals the longest."""
    candidates.sort(key=lambda c: c.start)
    taken: list[Candidate] = []
    first, end = 0, 0
    for index, each in enumerate(candidates):
        if each.start >= end:
            taken += _surest(candidates[first:index])
            first = index
        end = max(end, each.end)
    taken += _surest(candidates[first:])
    return taken


def _surest(candidates: list[Candidate]) -> list[Candidate]:
    """Return the same of candidates of which each overlaps another one, in order."""
    if len(candidates) < 2:  # noqa: PLR2004  nothing to choose
        return candidates
    taken: list[Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.rank, c.start - c.end, c.start)):
        at = bisect_right(taken, each.start, key=lambda c: c.start)
        overlaps_last = at and taken[at - 1].end > each.start
        if not overlaps_last and (at == len(taken) or taken[at].start >= each.end):
            taken.insert(at, each)
    return taken
