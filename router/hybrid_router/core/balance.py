"""Which replica of a backend gets a request: power of two choices on outstanding tokens.

Two replicas are drawn at random and the less loaded one is taken: nearly as even as asking all of
them, without the herd that runs to the one least loaded (Mitzenmacher, "The power of two choices in
randomized load balancing", 2001). Tokens rather than requests, because a request of 100 tokens and
one of 10,000 load an engine differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Loaded(Protocol):
    """Something with work waiting at it."""

    outstanding: int
    """Estimated tokens of the requests under way."""


_Replica = TypeVar("_Replica", bound=Loaded)


def power_of_two(replicas: Sequence[_Replica], draw: Callable[[], float]) -> _Replica | None:
    """Return the less loaded of two replicas drawn at random; None if there is none.

    Args:
        replicas: those that may be chosen.
        draw: returns a float in [0, 1), evenly distributed.
    """
    count = len(replicas)
    if count == 0:
        return None
    if count == 1:
        return replicas[0]
    first = int(draw() * count)
    second = int(draw() * (count - 1))
    second += second >= first  # never the same one twice
    one, other = replicas[first], replicas[second]
    return one if one.outstanding <= other.outstanding else other
