"""Requests that wait for a place at one local backend, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LONGEST: Final = 1024
"""Requests that may wait at one backend; one more is turned away at once."""
FIRST_GUESS_SECONDS: Final = 2.0
SMOOTHING: Final = 0.1


class Queue:
    """Who waits, and how long a request here takes on average."""

    __slots__ = ("_seconds", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seconds = FIRST_GUESS_SECONDS

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return len(self._waiting) >= LONGEST

    def took(self, seconds: float) -> None:
        """Learn how long a request was under way."""
        self._seconds += SMOOTHING * (seconds - self._seconds)

    def expected(self, places: int) -> float:
        """Return the seconds that one more would wait where so many are served at once."""
        return (len(self._waiting) + 1) * self._seconds / places

    async def wait(self, seconds: float, *, again: bool) -> bool:
        """Wait for a turn; return whether it came in time. Leaving early leaves no trace.

        Args:
            seconds: at most.
            again: the turn had come and another took the place: back to the front.
        """
        turn = asyncio.get_running_loop().create_future()
        if again:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.wake()  # it came too late for a client that has left
            raise
        finally:
            if not turn.done() or turn.cancelled():
                self._waiting.remove(turn)
        return True

    def wake(self, count: int = 1) -> None:
        """Give their turn to those who have waited longest."""
        while count > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1
