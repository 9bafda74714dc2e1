"""What somebody changes back as often as it is written: pure, with the time passed in.

Another controller, an admission webhook or a second operator may undo an apply at once, and the
next reconciliation would apply the same again, as fast as the watch tells of it. An object that was
undone often is held back, longer each time; all else of the resource goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from hybrid_operator.control.queue import backoff
from hybrid_operator.core.state import Contested

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")

PATIENCE = 10
"""Times in a row that the same is written at once; drift is put right that often."""
CALM_SECONDS = 30.0
"""Undone no more for so long after it could have been: the contest is over."""


@dataclass(slots=True)
class _Entry:
    stamp: str
    fields: tuple[str, ...]
    times: int
    held_until: float
    over: float
    """When it is forgotten."""


class Contests(Generic[K]):
    """Every write of one resource's objects, by what was written."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """Know of no write; `jitter` returns a number from 0 to 1."""
        self._jitter = jitter
        self._entries: dict[K, _Entry] = {}

    def wrote(self, key: K, stamp: str, fields: tuple[str, ...], now: float) -> None:
        """Remember a write.

        Args:
            key: What was written.
            stamp: Equal for equal content.
            fields: What was otherwise before; none where `key` was not there.
            now: Seconds of any clock that only goes forward.
        """
        self._forget(now)
        known = self._entries.get(key)
        times = known.times + 1 if known is not None and known.stamp == stamp else 1
        held = now + backoff(times - PATIENCE, self._jitter()) if times > PATIENCE else now
        self._entries[key] = _Entry(stamp, fields, times, held, held + CALM_SECONDS)

    def contested(self, now: float) -> dict[K, Contested]:
        """Return what is undone again and again."""
        self._forget(now)
        return {
            key: Contested(entry.stamp, entry.fields, entry.held_until > now)
            for key, entry in self._entries.items()
            if entry.times > PATIENCE
        }

    def wait(self, key: K, stamp: str, now: float) -> float:
        """Return the seconds for which `key` must not be written as `stamp` says."""
        known = self._entries.get(key)
        if known is None or known.stamp != stamp:
            return 0.0
        return max(0.0, known.held_until - now)

    def next_look(self, now: float) -> float | None:
        """Return the seconds until something held back is due, or a contest over; None: no such."""
        moments = [
            entry.held_until if entry.held_until > now else entry.over
            for entry in self._entries.values()
            if entry.times > PATIENCE
        ]
        return max(0.0, min(moments) - now) if moments else None

    def _forget(self, now: float) -> None:
        self._entries = {k: entry for k, entry in self._entries.items() if entry.over > now}
