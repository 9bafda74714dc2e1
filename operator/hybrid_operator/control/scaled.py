"""What autoscaling remembers of a resource's models, and how that stands in the status: pure."""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_operator.core.scaling import profile
from hybrid_operator.core.scaling.capacity import Capacity, remembered
from hybrid_operator.core.scaling.memory import Memory, pack, unpack
from hybrid_operator.core.scaling.starts import LEAST, MOST, Starts
from hybrid_operator.core.scaling.window import NOTHING_SEEN, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hybrid_operator.core.scaling.types import Decision

DECISIONS = 10
"""That are told in the status."""
TOLD_SECONDS = 60.0
"""A capacity is told anew at most this often, and a reason when it has stood for so long."""
MOVED = 0.05
"""Share by which a capacity must have moved to be told anew, or a seed to be another one."""
KEPT_SECONDS = 600.0
"""The long memory is told with every decision, and else at most this often."""
KEPT_CHARACTERS = 1024
"""For the long memories of all models of a resource, as the CRD has it."""
_SEED = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


@dataclass(slots=True)
class Scaled:
    """One model's memory."""

    capacity: Capacity
    window: Window = NOTHING_SEEN
    decision: Decision | None = None
    reason: str = ""
    """Of the decision, as told."""
    other_since: float = math.inf
    """Time of the window since which each decision had another reason."""
    decisions: deque[str] = field(default_factory=lambda: deque(maxlen=DECISIONS))
    """The newest first."""
    told: Capacity | None = None
    told_at: float = -math.inf
    kept: str = ""
    """Its long memory, as told."""
    kept_at: float = -math.inf
    looked: bool = False
    """Whether it was looked at: the second time tells what was done since."""
    silent: bool = False
    """Whether a pod that should tell its load did not when it was last looked at."""
    blind: bool = False
    """The same as told: for a minute."""
    blind_since: float = math.inf
    """Time of the window since which that is otherwise."""
    before: Mapping[str, Any] | None = None
    """What an earlier process told of it: stands until this one has decided."""

    def decided(self, decision: Decision, current: int, now: datetime) -> bool:
        """Take a decision; return whether it is news.

        Another number of replicas is. Another reason for the same one is when it lasts: near a
        bound it changes with every look.
        """
        before, self.decision = self.decision, decision
        last = before.replicas if before is not None else current
        if decision.replicas != last:
            at = now.strftime("%Y-%m-%dT%H:%MZ")
            self.decisions.appendleft(f"{at} {last}>{decision.replicas} {decision.reason}")
        elif self.reason:
            same = decision.reason == self.reason
            self.other_since = math.inf if same else min(self.other_since, self.window.time)
            if same or self.window.time - self.other_since < TOLD_SECONDS:
                return False
        self.reason, self.other_since = decision.reason, math.inf
        return True

    def blinded(self) -> bool:
        """Whether its load is not seen any more, or is again, and lastingly; then it is told."""
        time = self.window.time
        self.blind_since = min(self.blind_since, time) if self.silent != self.blind else math.inf
        if time - self.blind_since < TOLD_SECONDS:
            return False
        self.blind, self.blind_since = self.silent, math.inf
        return True

    def learnt(self, clock: float) -> bool:
        """Whether the capacity has moved since it was last told; then it is told."""
        told, known = self.told, self.capacity
        if told is not None and clock - self.told_at < TOLD_SECONDS:
            return False
        same = told is not None and _near(
            (known.prefill, known.decode), (told.prefill, told.decode)
        )
        if not same:
            self.told, self.told_at = known, clock
        return not same

    def expects(self, seed: Capacity) -> None:
        """Start anew where the planner expects another capacity: other hardware, say.

        All that is remembered is in replicas' worth of work, and that is worth something else now.
        """
        known = self.capacity
        if _near((known.seed_prefill, known.seed_decode), (seed.prefill, seed.decode)):
            return
        self.capacity, self.window = seed, NOTHING_SEEN
        self.told, self.kept_at = None, -math.inf

    def keeps(self, clock: float, now: datetime, room: int, *, news: bool) -> bool:
        """Whether its long memory has changed since it was last told; then it is told.

        Args:
            clock: Seconds that only go forward.
            now: The time.
            room: Characters for it.
            news: Whether a decision is told anyway.
        """
        age = clock - self.kept_at
        if not news and (age < KEPT_SECONDS or self.window.quiet >= age):
            return False
        before, self.kept_at = self.kept, clock
        self.kept = _packed(self.window, self.capacity, now, room)
        return self.kept != before

    def status(self) -> Mapping[str, Any] | None:
        """Return `status.models[].scaling`; None before anything was ever decided."""
        if self.decision is None:
            return self.before
        told, cold = self.told or self.capacity, round(self.window.starts.seconds)
        return {
            "recommended": self.decision.replicas,
            "reason": self.reason,
            "prefillTokensPerSecond": round(told.prefill),
            "decodeTokensPerSecond": round(told.decode),
            **({"coldStartSeconds": cold} if cold else {}),
            "decisions": list(self.decisions),
        }


class Told(NamedTuple):
    """What autoscaling tells of a resource's models, by name."""

    models: Mapping[str, Mapping[str, Any]]
    """`status.models[].scaling`."""
    memories: Mapping[str, str] = {}
    blind: frozenset[str] = frozenset()
    """Those whose load is not seen."""


def room(models: int) -> int:
    """Return the characters for the long memory of one of so many models."""
    return KEPT_CHARACTERS // max(models, 1) - 1


def kept(models: Sequence[str], memories: Mapping[str, str]) -> str:
    """Return `status.scalingMemory` for these models, in the order of `status.models`."""
    return ",".join(memories.get(name, "") for name in models).rstrip(",")


def told(status: Mapping[str, Any]) -> Told:
    """Return what a status tells."""
    models = status.get("models") or ()
    names = [str(each.get("name")) for each in models]
    texts = str(status.get("scalingMemory") or "").split(",")
    return Told(
        {each["name"]: each["scaling"] for each in models if each.get("scaling")},
        {name: text for name, text in zip(names, texts, strict=False) if text},
    )


def restored(status: Mapping[str, Any], seed: Capacity, memory: str = "") -> Scaled:
    """Return what an earlier process of ours knew, as far as the status tells."""
    scaled = Scaled(seed, before=status or None, reason=str(status.get("reason") or ""))
    scaled.decisions.extend(str(each) for each in (status.get("decisions") or ())[:DECISIONS])
    window, expected = _unpacked(memory)
    if expected is not None and not _near(expected, (seed.prefill, seed.decode)):
        return scaled
    scaled.window = window
    scaled.kept = memory if window != NOTHING_SEEN or expected is not None else ""
    cold = status.get("coldStartSeconds")
    if isinstance(cold, int) and LEAST <= cold <= MOST:
        scaled.window = replace(scaled.window, starts=Starts(float(cold)))
    prefill, decode = status.get("prefillTokensPerSecond"), status.get("decodeTokensPerSecond")
    if isinstance(prefill, int) and isinstance(decode, int) and prefill > 0 and decode > 0:
        scaled.told = scaled.capacity = remembered(prefill, decode, seed)
    return scaled


def _near(rates: tuple[float, float], others: tuple[float, float]) -> bool:
    return all(abs(a - b) <= MOVED * b for a, b in zip(rates, others, strict=True))


def _packed(window: Window, capacity: Capacity, now: datetime, room: int) -> str:
    """Return what is kept, with dots between: the levels, the profile where it fits, the seed."""
    seed = f"{capacity.seed_prefill:.0f}-{capacity.seed_decode:.0f}"
    left = room - len(seed) - 2
    memory = Memory(window.levels, window.usd_per_work or 0.0)
    day = profile.pack(window.profile, now)
    day = day if len(day) < left else ""
    return f"{pack(memory, left - len(day))}.{day}.{seed}"


def _unpacked(text: str) -> tuple[Window, tuple[float, float] | None]:
    """Return a window with what was kept, and the seed; what is none of ours is left out."""
    levels, day, seed = (*text.split("."), "", "")[:3]
    known, found = unpack(levels), _SEED.fullmatch(seed)
    window = replace(
        NOTHING_SEEN,
        levels=known.levels,
        usd_per_work=known.usd_per_work or None,
        profile=profile.unpack(day),
    )
    return window, (float(found[1]), float(found[2])) if found else None
