"""The operator's own policy, as the operator runs it: the same `observe` and `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hybrid_operator.core.scaling.policy import decide
from hybrid_operator.core.scaling.types import Objectives, Policy, Sample
from hybrid_operator.core.scaling.window import Window, observe, remember
from hybrid_operator.simulate.fluid import ITL_SECONDS, TTFT_SECONDS

if TYPE_CHECKING:
    from hybrid_operator.simulate.fluid import Seen, Setting

_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(slots=True)
class Hybrid:
    """Our policy on what is seen."""

    policy: Policy
    window: Window = field(default_factory=Window)

    def replicas(self, seen: Seen) -> int:
        """Return what the operator would set."""
        now = _MONDAY + timedelta(seconds=seen.time)
        ttft, itl = seen.latencies or (None, None)
        sample = Sample(
            seconds=seen.seconds,
            demand=seen.work,
            api_usd=seen.api_usd,
            replicas=seen.replicas,
            ready=seen.ready,
            requests=seen.tokens > 0,
            ttft_seconds=ttft,
            itl_seconds=itl,
        )
        self.window = observe(self.window, sample, self.policy, now)
        decision = decide(self.window, self.policy, now)
        self.window = remember(self.window, decision)
        return decision.replicas


def hybrid(setting: Setting) -> Hybrid:
    """Return our policy with min 0, both prices and objectives known."""
    return Hybrid(
        Policy(
            least=0,
            most=setting.most,
            utilization=setting.utilization,
            gpu_hour_usd=setting.prices.gpu_hour,
            cold_start_seconds=setting.cold_start,
            objectives=Objectives(TTFT_SECONDS, ITL_SECONDS),
        )
    )
