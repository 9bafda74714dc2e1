"""A replica's circuit breaker.

Closed: requests pass; failures in a row are counted. Open: none pass until a moment. Half-open:
after that moment one request, the probe, may pass per cooldown; what comes back closes or opens it
again.

It is a small mutable state machine without a clock: every method that depends on time gets `now`,
in seconds of any monotonic clock.
"""

from __future__ import annotations

import enum
from typing import Final

MAX_RETRY_AFTER: Final = 60.0
"""Seconds. A longer `Retry-After` is probed after this time: quotas are raised, clocks differ."""


class Outcome(enum.StrEnum):
    """How an attempt at a replica ended."""

    OK = "ok"
    FAILED = "failed"
    """No connection, a timeout, a broken answer, or a 5xx: the replica's fault."""
    CANCELLED = "cancelled"
    """The client left, or the router stopped waiting for another reason: says nothing."""
    CLIENT_ERROR = "client-error"
    """A 4xx that the request itself caused: the replica is well."""
    OVERLOADED = "overloaded"
    """429 or 503."""


class Breaker:
    """The state of one replica.

    Args:
        limit: failures in a row that open it.
        cooldown: seconds that it stays open, and the least time between two probes.
    """

    __slots__ = ("_failures", "_next_probe", "cooldown", "limit")

    def __init__(self, limit: int, cooldown: float) -> None:
        self.limit = limit
        self.cooldown = cooldown
        self._failures = 0
        self._next_probe: float | None = None  # None: closed

    @property
    def closed(self) -> bool:
        """Whether requests pass without being probes."""
        return self._next_probe is None

    def allows(self, now: float) -> bool:
        """Return whether a request may be sent now."""
        return self._next_probe is None or now >= self._next_probe

    def admit(self, now: float) -> None:
        """Note that a request is sent now; at half-open it is the probe, alone for one cooldown.

        The slot frees itself, so a probe whose client left blocks nothing for ever.
        """
        if self._next_probe is not None:
            self._next_probe = now + self.cooldown

    def wait(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 if now."""
        return 0.0 if self._next_probe is None else max(0.0, self._next_probe - now)

    def record(self, outcome: Outcome, now: float, retry_after: float | None = None) -> None:
        """Take an attempt's outcome into account; `retry_after` in seconds, as the replica said."""
        if outcome is Outcome.CANCELLED:
            return
        if outcome in (Outcome.OK, Outcome.CLIENT_ERROR):
            self._failures = 0
            self._next_probe = None
        elif outcome is Outcome.OVERLOADED and retry_after is not None:
            self._open_until(now + min(max(retry_after, 0.0), MAX_RETRY_AFTER))
        else:
            self._failures += 1
            if self._failures >= self.limit or self._next_probe is not None:
                self._open_until(now + self.cooldown)

    def _open_until(self, moment: float) -> None:
        """Open, or stay open for longer; answers of older requests never shorten it."""
        self._next_probe = max(moment, self._next_probe or moment)
