"""Letting a replica that has just come get its share little by little.

An engine's first requests compile kernels and fill an empty prefix cache: they take longer than all
later ones. Over its first `SECONDS` a new replica is a candidate for a growing part of the requests
only, while others are there that have been for longer. Where there was none, and requests went
elsewhere for want of it, a growing part of those that may comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 30.0
LEAST = 0.1
"""Part of the requests that a replica is a candidate for from the start."""


class Young(Protocol):
    """Something that came at some time.

    Attributes:
        since: when, in seconds of the monotonic clock; minus infinity: it was there before.
    """

    since: float


_Replica = TypeVar("_Replica", bound=Young)


def candidates(
    replicas: Sequence[_Replica], now: float, draw: Callable[[], float]
) -> Sequence[_Replica]:
    """Return the replicas that a request may go to; all where none has been there for long.

    Args:
        replicas: those that may be chosen.
        now: seconds of the monotonic clock.
        draw: returns a float in [0, 1), evenly distributed.
    """
    kept = [
        each
        for each in replicas
        if now - each.since >= SECONDS or draw() < max((now - each.since) / SECONDS, LEAST)
    ]
    settled = any(now - each.since >= SECONDS for each in kept)
    return kept if settled else replicas


class Ramp:
    """The newcomers of one pool."""

    __slots__ = ("_draw", "_missed", "_since", "_until", "_waiting", "_woken")

    def __init__(self, draw: Callable[[], float]) -> None:
        """Know of none; `draw` returns a float in [0, 1), evenly distributed."""
        self._draw = draw
        self._missed = False
        """Whether a request found nobody."""
        self._woken = False
        """Whether somebody came then, and no request since."""
        self._since = -math.inf
        """When the first request after that came."""
        self._waiting: list[Young] = []
        """Who came since the last request; there is no clock where they come."""
        self._until = -math.inf

    @property
    def active(self) -> bool:
        """Whether anybody came lately."""
        return bool(self._waiting) or self._until > -math.inf

    def came(self, replicas: Sequence[Young], *, first: bool) -> None:
        """Note who has just come; `first`: nobody was there."""
        if not first:
            self._waiting.extend(replicas)
        elif replicas and self._missed:
            self._missed, self._woken = False, True

    def missed(self) -> None:
        """Note that a request found nobody."""
        self._missed = True

    def invites(self, now: float) -> bool:
        """Return whether a request that may go elsewhere should come here."""
        if self._woken:
            self._woken, self._since = False, now
        if now - self._since >= SECONDS:
            return True
        return self._draw() < max((now - self._since) / SECONDS, LEAST)

    def candidates(self, replicas: Sequence[_Replica], now: float) -> Sequence[_Replica]:
        """Return the replicas that a request may go to now; see the function of that name."""
        for replica in self._waiting:
            replica.since = now
            self._until = now + SECONDS
        self._waiting.clear()
        if now >= self._until:
            self._until = -math.inf
        return candidates(replicas, now, self._draw)
