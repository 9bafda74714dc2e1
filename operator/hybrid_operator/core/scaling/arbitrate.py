"""Sharing GPUs among models: who gets how many of the replicas that it wants."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Demand:
    """What one model wants."""

    key: str
    """Of the model, unique: `namespace/resource/model`."""
    gpu: str
    """Type of its GPUs, a key of the pool."""
    gpus: int
    """Of one replica."""
    least: int
    wanted: int
    current: int = 0
    quota: str = ""
    """Of its namespace for these GPUs: another key of the pool, or "" where there is none."""
    priority: int = 0
    """Higher ones are served first."""
    weight: float = 1.0
    """Share among models of one priority."""

    def bounded_by(self, left: Mapping[str, int]) -> list[str]:
        """Return the keys of the pool that it draws from."""
        return [name for name in (self.gpu, self.quota) if name in left]

    def fits(self, left: Mapping[str, int]) -> bool:
        """Whether one more replica does."""
        return all(left[name] >= self.gpus for name in self.bounded_by(left))


def arbitrate(demands: tuple[Demand, ...], pool: Mapping[str, int]) -> dict[str, int]:
    """Return the replicas that each model may have; never more than it wants.

    `pool` has the number of GPUs by type and by quota; what is missing is unbounded.
    Within a priority, each model's `least` comes first, then one replica at a time to the model
    with the fewest GPUs for its weight. Of two that are equal, the one that has the replica
    already keeps it, so that a shortage moves nothing to and fro.
    """
    granted = dict.fromkeys((each.key for each in demands), 0)
    left = dict(pool)
    for priority in sorted({each.priority for each in demands}, reverse=True):
        group = [each for each in demands if each.priority == priority]
        for least in (True, False):
            _fill(group, granted, left, least=least)
    return granted


def _fill(
    group: list[Demand], granted: dict[str, int], left: dict[str, int], *, least: bool
) -> None:
    """Give one replica after another to whose turn it is; who gets none gets none later."""
    turns = []
    for each in group:
        ceiling = min(each.least, each.wanted) if least else each.wanted
        if each.bounded_by(left):
            turns.append((_turn(each, granted[each.key]), ceiling, each))
        else:
            granted[each.key] = max(granted[each.key], ceiling)
    heapq.heapify(turns)
    while turns:
        _, ceiling, each = heapq.heappop(turns)
        if granted[each.key] >= ceiling or not each.fits(left):
            continue
        granted[each.key] += 1
        for name in each.bounded_by(left):
            left[name] -= each.gpus
        heapq.heappush(turns, (_turn(each, granted[each.key]), ceiling, each))


def _turn(each: Demand, granted: int) -> tuple[float, bool, str]:
    has = granted * each.gpus / max(each.weight, 1e-9)
    return has, granted >= each.current, each.key
