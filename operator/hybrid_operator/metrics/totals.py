"""Requests answered, over all routers of a resource, their restarts and ours: pure.

A router counts from its own start. What it has counted is added up as differences, so that a
container that starts
again at 0, and a pod that goes away, take nothing back. Across a restart of the operator the
status is what is left: a router that is older than this process has been counted in it, as far as
it goes. Requests that were answered after the last status write, by a router that was gone before
the operator was back, are lost to these figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Counts(NamedTuple):
    """Requests answered by local models, and by providers."""

    local: int = 0
    api: int = 0


@dataclass(slots=True)
class Totals:
    """The sum of one resource."""

    sum: Counts
    """What stands in the status at first, and then grows."""
    _unassigned: Counts = field(init=False)
    """The part of the first sum that no router that we have seen accounts for."""
    _last: dict[str, Counts] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._unassigned = self.sum

    def add(self, uid: str, counts: Counts, *, older: bool) -> None:
        """Take what a router counts.

        Args:
            uid: Of its pod.
            counts: Since its process started.
            older: Whether the pod was there before we began to add up.
        """
        last = self._last.get(uid)
        if last is None and older:
            known = Counts(*map(min, counts, self._unassigned))
            left = (have - was for have, was in zip(self._unassigned, known, strict=True))
            self._unassigned = Counts(*left)
            last = known
        grown = (_growth(new, old) for new, old in zip(counts, last or Counts(), strict=True))
        self.sum = Counts(*(have + more for have, more in zip(self.sum, grown, strict=True)))
        self._last[uid] = counts

    def keep(self, uids: set[str]) -> None:
        """Drop what is remembered of other pods; the sum keeps what they counted."""
        for uid in self._last.keys() - uids:
            del self._last[uid]


def from_status(status: Mapping[str, object]) -> Counts:
    """Return the counts that stand in a status."""
    routing = status.get("routing")
    if not isinstance(routing, dict):
        return Counts()
    return Counts(int(routing.get("local") or 0), int(routing.get("api") or 0))


def _growth(new: int, old: int) -> int:
    """Return what was counted since `old`; a counter that went back has started again."""
    return new - old if new >= old else new
