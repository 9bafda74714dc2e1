"""Demand at this time of earlier days: pure, and short enough to stand in a status.

A day has `SLOTS` quarters of an hour, UTC. Each remembers the highest demand of earlier days, the
last one for a half, the one before for a quarter, and so on, and that of the day under way apart.
The text has a byte for each slot, a logarithm good to 3 %.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from hybrid_operator.core.scaling.memory import unfolded

if TYPE_CHECKING:
    from datetime import datetime

SLOTS = 96
NO_DAY = -1
SMALLEST, LARGEST = 0.001, 10_000.0
"""Replicas' worth of work. Below, a slot counts as empty; above, as this much."""
_CODES = 0xFF
_STEP = math.log(LARGEST / SMALLEST) / (_CODES - 1)


class Slot(NamedTuple):
    """A quarter of an hour; demand in replicas' worth of work."""

    demand: float = 0.0
    """Of earlier days."""
    day: int = NO_DAY
    """Ordinal of the day under way; `NO_DAY`: none was seen since the text was read."""
    today: float = 0.0
    """Highest demand of the day under way."""

    @property
    def folded(self) -> float:
        """What it says of the next day."""
        if self.day == NO_DAY or not self.demand:
            return self.today or self.demand
        return (self.demand + self.today) / 2


Profile = tuple[Slot, ...]
"""By quarter of an hour; empty before anything was noted."""


def noted(profile: Profile, demand: float, now: datetime) -> Profile:
    """Return the profile after a look at demand."""
    slots = list(profile or (Slot(),) * SLOTS)
    at, today = _at(now, 0.0), now.toordinal()
    slot = slots[at]
    if slot.day not in (NO_DAY, today):
        slot = Slot(slot.folded)
    slots[at] = Slot(slot.demand, today, max(slot.today, demand))
    return tuple(slots)


def expected(profile: Profile, now: datetime, ahead_seconds: float) -> float:
    """Return the demand of earlier days at this time, or `ahead_seconds` later, the higher one."""
    if not profile:
        return 0.0
    return max(profile[_at(now, 0.0)].demand, profile[_at(now, ahead_seconds)].demand)


def pack(profile: Profile, now: datetime) -> str:
    """Return the text; "" where nothing was noted.

    The slot under way, which is noted again after a restart, says what it did of earlier days.
    """
    at = _at(now, 0.0)
    codes = [
        _code(slot.demand or slot.today if number == at else slot.folded)
        for number, slot in enumerate(profile)
    ]
    if not any(codes):
        return ""
    return base64.b64encode(zlib.compress(_FORM + bytes(codes), 9)).decode()


def unpack(text: str) -> Profile:
    """Return what a text says; nothing where it is none of ours, or of another release."""
    data = unfolded(text)
    if not data.startswith(_FORM) or len(data) != len(_FORM) + SLOTS:
        return ()
    return tuple(Slot(_demand(code)) for code in data[len(_FORM) :])


def _at(now: datetime, ahead_seconds: float) -> int:
    seconds = now.hour * 3600 + now.minute * 60 + now.second + ahead_seconds
    return int(seconds // (86_400 / SLOTS)) % SLOTS


def _code(demand: float) -> int:
    if not demand >= SMALLEST:
        return 0
    return 1 + round(math.log(min(demand, LARGEST) / SMALLEST) / _STEP)


def _demand(code: int) -> float:
    return SMALLEST * math.exp((code - 1) * _STEP) if code else 0.0


_FORM = struct.pack(">I", zlib.crc32(repr((SLOTS, SMALLEST, LARGEST, _CODES)).encode()))
"""What the bytes mean: a release in which they mean something else reads none."""
