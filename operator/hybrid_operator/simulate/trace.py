"""Request traces: transformed, or made up."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86_400.0


class Request(NamedTuple):
    """One request."""

    at: float
    """Seconds since the first one."""
    prompt: int
    """Tokens."""
    generated: int
    """Tokens."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their arrival."""

    name: str
    requests: tuple[Request, ...]

    @property
    def seconds(self) -> float:
        """From the first to the last request."""
        return self.requests[-1].at if self.requests else 0.0


def stretched(trace: Trace, factor: float) -> Trace:
    """Return the trace with every pause `factor` times as long."""
    requests = tuple(each._replace(at=each.at * factor) for each in trace.requests)
    return Trace(f"{trace.name} stretched x{factor:g}", requests)


def multiplied(trace: Trace, factor: int) -> Trace:
    """Return the trace with `factor` requests within a second for every one."""
    requests = sorted(
        each._replace(at=each.at + copy / factor)
        for each in trace.requests
        for copy in range(factor)
    )
    return Trace(f"{trace.name} x{factor}", tuple(requests))


def daily(trace: Trace, days: int, seed: int = 1) -> Trace:
    """Return `days` days made of the trace again and again, thinned at night.

    By day all requests stay, at night one in ten does, with a cosine between; drawn by `seed`.
    """
    draw = random.Random(seed)  # noqa: S311  a simulation's
    length = trace.seconds + 1.0
    found = []
    for turn in range(math.ceil(days * DAY / length)):
        for each in trace.requests:
            at = turn * length + each.at
            share = 0.55 - 0.45 * math.cos(2 * math.pi * at / DAY)
            if at < days * DAY and draw.random() < share:
                found.append(each._replace(at=at))
    return Trace(f"{trace.name}, {days} days", from_zero(found))


def bursts(hours: float, seed: int = 1) -> Trace:
    """Return a made-up trace: pauses of minutes, then bursts of 1 to 3 minutes at 4 requests/s."""
    draw = random.Random(seed)  # noqa: S311  a simulation's
    at, found = 0.0, []
    while at < hours * 3600:
        end = at + draw.uniform(60, 180)
        while at < end:
            found.append(Request(at, int(draw.lognormvariate(7, 1)), draw.randint(10, 400)))
            at += draw.expovariate(4.0)
        at += draw.expovariate(1 / 300)
    return Trace("bursts", from_zero(found))


def from_zero(requests: Iterable[Request]) -> tuple[Request, ...]:
    """Return requests in the order of their arrival, the first one at 0."""
    found = sorted(requests)
    return tuple(each._replace(at=each.at - found[0].at) for each in found)
