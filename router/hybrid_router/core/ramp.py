"""Letting a replica that has just come get its share little by little.

An engine's first requests compile kernels and fill an empty prefix cache: they take longer than all
later ones. Over its first `SECONDS` a new replica is a candidate for a growing part of the requests
only, while others are there that have been for longer.
"""

from __future__ import annotations

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
