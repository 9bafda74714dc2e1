"""Which replica of a backend gets a request: prefix affinity, else power of two choices.

**Power of two choices** on outstanding tokens: two replicas are drawn at random and the less loaded
one is taken: nearly as even as asking all of them, without the herd that runs to the one least
loaded (Mitzenmacher, "The power of two choices in randomized load balancing", 2001). Tokens rather
than requests, because a request of 100 tokens and one of 10,000 load an engine differently.

**Prefix affinity**: requests that begin alike go where the beginning is in the engine's cache. Each
router computes the place from the request alone, by rendezvous hashing (Thaler and Ravishankar,
1998): all routers agree, and a replica that comes or goes moves only its own share. First what many
conversations share (model, tools, system prompt) chooses half of the replicas, then the first user
turn one of these, so that a conversation stays at one replica and a system prompt is computed at
few. The load is bounded (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded
loads", 2018): a replica above its bound is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOAD_FACTOR: Final = 1.25
"""So many times the mean of outstanding tokens a replica may have for affinity to choose it."""

_MASK: Final = 0xFFFFFFFF
_ODD: Final = 0x45D9F3B
"""So small that no product leaves the machine's word."""


class Loaded(Protocol):
    """Something with work waiting at it.

    Attributes:
        outstanding: estimated tokens of the requests under way.
        seed: 32 bits that every router knows it by.
    """

    outstanding: int
    seed: int


class Prefix(NamedTuple):
    """How a request begins, as hashes."""

    shared: int
    """Of model, tools and system prompt."""
    own: int
    """Of these and the first user turn."""


_Replica = TypeVar("_Replica", bound=Loaded)


def choose(
    replicas: Sequence[_Replica], prefix: Prefix | None, tokens: int, draw: Callable[[], float]
) -> _Replica | None:
    """Return the replica for a request; None if there is none.

    Args:
        replicas: those that may be chosen.
        prefix: how it begins; None where that does not matter.
        tokens: that it will probably take.
        draw: returns a float in [0, 1), evenly distributed.
    """
    if prefix is not None and len(replicas) > 1:
        found = _at_home(replicas, prefix, tokens)
        if found is not None:
            return found
    return power_of_two(replicas, draw)


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


def _at_home(replicas: Sequence[_Replica], prefix: Prefix, tokens: int) -> _Replica | None:
    """Return the first replica in the prefix's order that is below its bound."""
    count = len(replicas)
    # A request's own tokens come on top of the bound: with little to do, nobody is too busy.
    bound = LOAD_FACTOR * (sum([r.outstanding for r in replicas]) + tokens) / count
    half = max(2, count // 2)
    if count <= half:
        return _first(replicas, prefix.own, bound)
    ranked = sorted(replicas, key=lambda r: _weight(prefix.shared, r.seed), reverse=True)
    near = _first(ranked[:half], prefix.own, bound)
    return near if near is not None else _first(ranked[half:], prefix.own, bound)


def _first(replicas: Sequence[_Replica], key: int, bound: float) -> _Replica | None:
    """Return the replica of the largest weight among those below the bound."""
    found, largest = None, -1
    for replica in replicas:
        if replica.outstanding <= bound:
            weight = _weight(key, replica.seed)
            if weight > largest:
                found, largest = replica, weight
    return found


def _weight(key: int, seed: int) -> int:
    """Mix two hashes into one that is evenly distributed: two rounds of shift and multiply."""
    mixed = (key ^ seed) & _MASK
    mixed = ((mixed ^ (mixed >> 16)) * _ODD) & _MASK
    mixed = ((mixed ^ (mixed >> 16)) * _ODD) & _MASK
    return mixed ^ (mixed >> 16)
