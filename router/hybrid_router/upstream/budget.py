"""How many retries a pool takes: at most 20 % of its requests over 10 s, plus 3.

Without a limit, a pool that is slow gets several times its load exactly when it can bear least. A
first attempt at another pool is no retry for that pool, and an attempt whose connection was refused
cost nothing: neither is counted.
"""

from __future__ import annotations

from typing import Final

WINDOW_SECONDS: Final = 10
SHARE: Final = 0.2
FLOOR: Final = 3


class RetryBudget:
    """Requests and retries of one pool, in buckets of one second."""

    __slots__ = ("_requests", "_retries", "_second")

    def __init__(self) -> None:
        self._requests = [0] * WINDOW_SECONDS
        self._retries = [0] * WINDOW_SECONDS
        self._second = 0

    def request(self, now: float) -> None:
        """Count a request's first attempt at this pool."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._requests[second % WINDOW_SECONDS] += 1

    def retry(self, now: float) -> bool:
        """Count one more retry if the budget allows it; return whether it does."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        if sum(self._retries) >= FLOOR + SHARE * sum(self._requests):
            return False
        self._retries[second % WINDOW_SECONDS] += 1
        return True

    def _turn(self, second: int) -> None:
        """Empty the buckets of the seconds since the last call."""
        for passed in range(max(self._second + 1, second - WINDOW_SECONDS + 1), second + 1):
            self._requests[passed % WINDOW_SECONDS] = 0
            self._retries[passed % WINDOW_SECONDS] = 0
        self._second = second
