"""Letting a replica that has just come get its share little by little.

An engine's first requests compile kernels and fill an empty prefix cache: they take longer than all
later ones. Over its first `SECONDS` a new replica is a candidate for a growing part of the requests
only, while others are there that have been for longer. Where there was none, and requests went
elsewhere for want of it, those that may come back one at a time at first, and then more and more
at once: no burst meets an engine that has compiled nothing yet, and one client notices nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

SECONDS: Final = 30.0
DOUBLING_SECONDS: Final = 5.0
"""In which twice as many may be under way at a pool that woke up: 1 at first, 64 in the end."""
LEAST: Final = 0.1
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

    __slots__ = ("_draw", "_missed", "_since", "_until", "_waiting")

    def __init__(self, draw: Callable[[], float]) -> None:
        """Know of none; `draw` returns a float in [0, 1), evenly distributed."""
        self._draw = draw
        self._missed = False
        """Whether a request found nobody."""
        self._since = -math.inf
        """When somebody came after that."""
        self._waiting: list[Young] = []
        """Who came since the last request; there is no clock where they come."""
        self._until = -math.inf

    @property
    def active(self) -> bool:
        """Whether anybody came lately."""
        return bool(self._waiting) or self._until > -math.inf

    def came(self, replicas: Collection[Young], before: Collection[Young], now: float) -> None:
        """Note who is there now, and who was before."""
        self._waiting = [each for each in self._waiting if each in replicas]
        if before:
            self._waiting.extend(each for each in replicas if each not in before)
        elif replicas and self._missed:
            self._missed, self._since = False, now

    def missed(self) -> None:
        """Note that a request found nobody."""
        self._missed = True

    def invites(self, now: float, in_flight: int) -> bool:
        """Return whether a request that may go elsewhere should come here.

        Args:
            now: seconds of the monotonic clock.
            in_flight: requests that are under way here.
        """
        age = now - self._since
        return age >= SECONDS or in_flight < 2.0 ** (age / DOUBLING_SECONDS)

    def candidates(self, replicas: Sequence[_Replica], now: float) -> Sequence[_Replica]:
        """Return the replicas that a request may go to now; see the function of that name."""
        for replica in self._waiting:
            replica.since = now
            self._until = now + SECONDS
        self._waiting.clear()
        if now >= self._until:
            self._until = -math.inf
        return candidates(replicas, now, self._draw)
