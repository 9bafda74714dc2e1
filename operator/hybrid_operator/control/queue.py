"""The queue of resources to reconcile: pure, with the time passed in.

A key is in it at most once, however often it is added, and never handed out while it is being
worked on; what is added meanwhile comes afterwards. Times are seconds of any clock that only goes
forward.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")

FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 300.0


def backoff(failures: int, jitter: float) -> float:
    """Return the seconds to wait after so many failures in a row: 0.5 s doubled up to 5 min.

    Args:
        failures: At least 1.
        jitter: From 0 to 1; between half of the time and all of it is waited, so that what failed
            together does not come back together.
    """
    doubled = FIRST_BACKOFF * 2.0 ** min(failures - 1, 32)
    return float(min(LONGEST_BACKOFF, doubled) * (0.5 + 0.5 * jitter))


class KeyedQueue(Generic[K]):
    """Keys that are due at some time."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._not_before: dict[K, float] = {}
        self._running: set[K] = set()
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0

    def __len__(self) -> int:
        """Return how many keys wait, those for a later time included."""
        return len(self._due)

    def add(self, key: K, at: float) -> None:
        """Have `key` handed out at `at`, or at the earlier time that it already waits for."""
        known = self._due.get(key)
        if known is None or at < known:
            self._due[key] = at
            if key not in self._running:
                self._push(key)

    def take(self, now: float) -> K | None:
        """Hand out the key that has been due longest; None when none is due."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        self._not_before.pop(key, None)
        self._running.add(key)
        return key

    def finish(self, key: K, now: float, again: float | None, not_before: float) -> None:
        """Take back a key that was handed out.

        Args:
            key: What was handed out.
            now: The time.
            again: When to hand it out again although nothing changed; None: not before something
                does.
            not_before: Even when something changed, hand it out no earlier than this.
        """
        self._running.discard(key)
        if not_before > now:
            self._not_before[key] = not_before
        if again is not None:
            self._due[key] = min(again, self._due.get(key, again))
        if key in self._due:
            self._push(key)

    def next_due(self) -> float | None:
        """Return when `take` will next hand something out; None when nothing waits."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def _when(self, key: K) -> float:
        return max(self._due[key], self._not_before.get(key, 0.0))

    def _push(self, key: K) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self._when(key), self._order, key))

    def _drop_stale(self) -> None:
        """Drop entries that another entry, or being worked on, has made void."""
        while self._heap:
            at, _, key = self._heap[0]
            if key in self._due and key not in self._running and at == self._when(key):
                return
            heapq.heappop(self._heap)
