"""How much a client's key, or a provider's account, may ask for: per minute, and at once.

A minute is the last sixty seconds, in steps of one: no burst at a boundary, and none after a quiet
minute. What a request will take is reserved when it is admitted and corrected when it is known.

Every router enforces its share: the limit divided by the routers that are ready. With an even load
that is the limit; a limit below the number of routers allows one each, and so up to that number.

Small mutable state without a clock: `now` is in seconds of any monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hybrid_router.table import KeyLimits, RateLimits

WINDOW_SECONDS: Final = 60


class Window:
    """What was used in the last sixty seconds."""

    __slots__ = ("_buckets", "_second", "used")

    def __init__(self) -> None:
        self._buckets = [0] * WINDOW_SECONDS
        self._second = 0
        self.used = 0

    def turn(self, now: float) -> None:
        """Forget what is older than the window."""
        second = int(now)
        if second <= self._second:
            return
        oldest = max(self._second + 1, second - WINDOW_SECONDS + 1)
        for passed in range(oldest, second + 1):
            self.used -= self._buckets[passed % WINDOW_SECONDS]
            self._buckets[passed % WINDOW_SECONDS] = 0
        self._second = second

    def add(self, count: int, at: float, now: float) -> None:
        """Count something used at a moment; what is older than the window counts no more."""
        self.turn(now)
        if int(at) > self._second - WINDOW_SECONDS:
            self._buckets[int(at) % WINDOW_SECONDS] += count
            self.used += count

    def wait(self, count: int, limit: float, now: float) -> float | None:
        """Return the seconds until `count` more fit; 0 if now, None if never."""
        self.turn(now)
        if self.used + count <= limit:
            return 0.0
        if count > limit:
            return None
        left = self.used
        for second in range(self._second - WINDOW_SECONDS + 1, self._second + 1):
            left -= self._buckets[second % WINDOW_SECONDS]
            if left + count <= limit:
                return max(0.0, second + WINDOW_SECONDS - now)
        return float(WINDOW_SECONDS)


class Exceeded(Exception):  # noqa: N818  an answer, not a fault
    """A request does not fit.

    Attributes:
        what: `requests`, `tokens` or `concurrency`.
        limit: of all routers together.
        retry_after: seconds until it fits; None if it never does.
    """

    def __init__(self, what: str, limit: int, retry_after: float | None) -> None:
        super().__init__(what)
        self.what = what
        self.limit = limit
        self.retry_after = retry_after


class Reservation:
    """What an admitted request has set aside; settle it once."""

    __slots__ = ("_at", "_meter", "_tokens")

    def __init__(self, meter: Meter, tokens: int, at: float) -> None:
        self._meter = meter
        self._tokens = tokens
        self._at = at

    def settle(self, tokens: int, now: float) -> None:
        """Count what it took instead of what was set aside."""
        self._meter.running -= 1
        self._meter.tokens.add(tokens - self._tokens, self._at, now)


class Meter:
    """What one key, or one account, uses at this router.

    Attributes:
        running: requests under way.
    """

    __slots__ = ("requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.running = 0

    def admit(self, limits: KeyLimits, routers: int, tokens: int, now: float) -> Reservation:
        """Set aside what a request will take.

        Args:
            limits: of all routers together.
            routers: that share them.
            tokens: of its prompt and its longest answer, estimated.
            now: the time.

        Raises:
            Exceeded: it does not fit now; nothing is set aside.
        """
        most = limits.concurrency
        if most is not None and self.running >= share(most, routers):
            raise Exceeded("concurrency", most, 1.0)
        for what, window, count, limit in (
            ("requests", self.requests, 1, limits.requests_per_minute),
            ("tokens", self.tokens, tokens, limits.tokens_per_minute),
        ):
            if limit is not None:
                wait = window.wait(count, share(limit, routers), now)
                if wait != 0:
                    raise Exceeded(what, limit, wait)
        return self.reserve(tokens, now)

    def reserve(self, tokens: int, now: float) -> Reservation:
        """Set aside without asking."""
        self.requests.add(1, now, now)
        self.tokens.add(tokens, now, now)
        self.running += 1
        return Reservation(self, tokens, now)

    def wait(self, limits: RateLimits, routers: int, tokens: int, now: float) -> float:
        """Return the seconds until a request fits; one that never does may try after a minute."""
        longest = 0.0
        for window, count, limit in (
            (self.requests, 1, limits.requests_per_minute),
            (self.tokens, tokens, limits.tokens_per_minute),
        ):
            if limit is not None:
                wait = window.wait(count, share(limit, routers), now)
                longest = max(longest, WINDOW_SECONDS if wait is None else wait)
        return longest


def share(limit: int, routers: int) -> float:
    """Return this router's part of a limit; at least 1, or it would let nothing through."""
    return max(1.0, limit / routers)
