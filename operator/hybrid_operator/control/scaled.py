"""What autoscaling remembers of one model, and how that stands in the status: pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hybrid_operator.core.scaling.capacity import Capacity, seeded
from hybrid_operator.core.scaling.window import NOTHING_SEEN, Window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hybrid_operator.core.scaling.types import Decision

DECISIONS = 10
"""That are told in the status."""
TOLD_SECONDS = 60.0
"""A capacity is told anew at most this often."""
MOVED = 0.05
"""Share by which a capacity must have moved to be told anew."""


@dataclass(slots=True)
class Scaled:
    """One model's memory."""

    capacity: Capacity
    window: Window = NOTHING_SEEN
    decision: Decision | None = None
    decisions: deque[str] = field(default_factory=lambda: deque(maxlen=DECISIONS))
    """The newest first."""
    told: Capacity | None = None
    told_at: float = -math.inf
    looked: float | None = None
    """When it was last looked at, by the monotonic clock."""

    def decided(self, decision: Decision, current: int, now: datetime) -> bool:
        """Take a decision; return whether it differs from what was decided before."""
        before, self.decision = self.decision, decision
        last = before.replicas if before is not None else current
        if decision.replicas == last:
            return before is None or before.reason != decision.reason
        at = now.strftime("%Y-%m-%dT%H:%MZ")
        self.decisions.appendleft(f"{at} {last}>{decision.replicas} {decision.reason}")
        return True

    def learnt(self, clock: float) -> bool:
        """Whether the capacity has moved since it was last told; then it is told."""
        told, known = self.told, self.capacity
        if told is not None and clock - self.told_at < TOLD_SECONDS:
            return False
        same = told is not None and (
            abs(known.prefill - told.prefill) <= MOVED * told.prefill
            and abs(known.decode - told.decode) <= MOVED * told.decode
        )
        if not same:
            self.told, self.told_at = known, clock
        return not same

    def status(self) -> dict[str, Any] | None:
        """Return `status.models[].scaling`; None before anything was decided."""
        if self.decision is None:
            return None
        told = self.told or self.capacity
        return {
            "recommended": self.decision.replicas,
            "reason": self.decision.reason,
            "prefillTokensPerSecond": round(told.prefill),
            "decodeTokensPerSecond": round(told.decode),
            "decisions": list(self.decisions),
        }


def restored(status: Mapping[str, Any], seed: Capacity) -> Scaled:
    """Return what an earlier process of ours knew, as far as the status tells."""
    scaled = Scaled(seed)
    prefill, decode = status.get("prefillTokensPerSecond"), status.get("decodeTokensPerSecond")
    if isinstance(prefill, int) and isinstance(decode, int) and prefill > 0 and decode > 0:
        learnt = seeded(prefill, decode)
        scaled.capacity = Capacity(
            learnt.prefill, learnt.decode, seed.seed_prefill, seed.seed_decode
        )
        scaled.told = scaled.capacity
    scaled.decisions.extend(str(each) for each in (status.get("decisions") or ())[:DECISIONS])
    return scaled
