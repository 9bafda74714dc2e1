"""Deadlines without a timer per request.

A timer that is set and cancelled for every chunk costs more than relaying the chunk. Here whatever
has a deadline keeps it in an attribute, and one timer looks at all of them a few times per second.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

NEVER: Final = float("inf")


class Timed(Protocol):
    """Something with a deadline (seconds of the monotonic clock), told once it has passed."""

    deadline: float

    def expired(self, now: float) -> None:
        """Act on the passed deadline: end, or set a later `deadline`."""


class Ticker:
    """Looks at its items every `interval` seconds, and sleeps while it has none.

    A deadline is therefore noticed up to one interval late, never early.
    """

    __slots__ = ("_handle", "_interval", "_items", "_loop")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._items: set[Timed] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, item: Timed) -> None:
        """Watch `item` until it is discarded."""
        self._items.add(item)
        if self._handle is None:
            self._handle = self._loop.call_later(self._interval, self._tick)

    def discard(self, item: Timed) -> None:
        """Stop watching `item`; harmless if it is not watched."""
        self._items.discard(item)

    def stop(self) -> None:
        """Forget everything."""
        self._items.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = None
        now = time.monotonic()
        for item in [item for item in self._items if item.deadline <= now]:
            item.expired(now)
        if self._items:
            self._handle = self._loop.call_later(self._interval, self._tick)
