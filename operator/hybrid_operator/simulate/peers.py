"""Scaling policies of other systems, each after its own source, at its own defaults.

All look at the same demand and aim at what a replica can do; where a system's default target is a
number that fits no engine in particular (100 requests, 100 tokens/s), the target is what the
engine can really do, which favours it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.simulate.fluid import Seen


@dataclass(slots=True)
class Mean:
    """Time-weighted mean of the last `seconds`."""

    seconds: float
    _values: deque[tuple[float, float]] = field(default_factory=deque)
    _held: float = 0.0
    _sum: float = 0.0

    def add(self, value: float, seconds: float) -> float:
        """Take a value that stood for so long; return the mean."""
        self._values.append((value, seconds))
        self._held += seconds
        self._sum += value * seconds
        while self._held - self._values[0][1] >= self.seconds - 1e-9 and len(self._values) > 1:
            old, length = self._values.popleft()
            self._held -= length
            self._sum -= old * length
        return max(self._sum, 0.0) / self._held


@dataclass(slots=True)
class Every:
    """A period."""

    seconds: float
    _next: float = 0.0

    def due(self, now: float) -> bool:
        """Whether it has passed; then it begins again."""
        if now + 1e-9 < self._next:
            return False
        self._next = now + self.seconds
        return True


@dataclass(slots=True)
class Static:
    """Always the same number."""

    count: int

    def replicas(self, seen: Seen) -> int:
        """Return it."""
        del seen
        return self.count


@dataclass(slots=True)
class Replay:
    """A schedule that was computed before; the offline oracle's."""

    schedule: Sequence[int]
    step: float

    def replicas(self, seen: Seen) -> int:
        """Return what the schedule has for the step that begins."""
        at = round((seen.time + seen.seconds) / self.step)
        return self.schedule[min(at, len(self.schedule) - 1)]


@dataclass(slots=True)
class HPA:
    """HorizontalPodAutoscaler v2 on token throughput, 70 % target.

    Source: kubernetes/kubernetes pkg/controller/podautoscaler: sync every 15 s, tolerance 0.1, up
    by at most max(4 pods, 100 %) in 15 s, down to the highest recommendation of 300 s; at least
    one replica. The metric is a rate over one minute, as Prometheus adapters are set up.
    """

    target: float = 0.7
    least: int = 1
    _rate: Mean = field(default_factory=lambda: Mean(60.0))
    _sync: Every = field(default_factory=lambda: Every(15.0))
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def replicas(self, seen: Seen) -> int:
        """Return what the controller would set."""
        rate = self._rate.add(seen.work, seen.seconds)
        return self.scaled(rate, seen) if self._sync.due(seen.time) else seen.replicas

    def scaled(self, metric: float, seen: Seen) -> int:
        """Return the replicas for a total `metric`, stabilised and limited."""
        current = max(seen.replicas, self.least)
        ratio = metric / (self.target * current)
        wanted = current if abs(ratio - 1) <= 0.1 else math.ceil(metric / self.target - 1e-9)  # noqa: PLR2004  HPA's tolerance
        wanted = max(wanted, self.least)
        self._recent.append((seen.time, wanted))
        while self._recent[0][0] < seen.time - 300:
            self._recent.popleft()
        highest = max(count for _, count in self._recent)
        if wanted < current:
            wanted = min(current, highest)
        return min(wanted, max(current + 4, current * 2))


@dataclass(slots=True)
class KEDA:
    """KEDA's Prometheus scaler as vLLM production-stack's chart sets it up.

    Source: vllm-project/production-stack, helm `keda` values: polling every 15 s, to zero after
    the trigger was inactive for 1800 s (woken by the router's metric), between 1 and max an HPA.
    The query is the rate of prompt and generated tokens; its threshold of 100 tokens/s a pod is
    replaced by all that a replica is planned for, 85 % of its capacity.
    """

    target: float = 0.85
    _hpa: HPA = field(init=False)
    _quiet: float = math.inf

    def __post_init__(self) -> None:
        self._hpa = HPA(target=self.target)

    def replicas(self, seen: Seen) -> int:
        """Return what KEDA, or its HPA, would set."""
        self._quiet = 0.0 if seen.tokens > 0 else self._quiet + seen.seconds
        wanted = self._hpa.replicas(seen)
        if self._quiet >= 1800:  # noqa: PLR2004  cooldownPeriod
            return 0
        return max(wanted, 1)


@dataclass(slots=True)
class KubeAI:
    """KubeAI's autoscaler: active requests, averaged over 10 minutes.

    Source: substratusai/kubeai internal/modelautoscaler and internal/movingaverage: every 10 s,
    ceil(mean of 60 samples / target), down only after 3 looks in a row (scaleDownDelaySeconds 30).
    """

    target: float = 0.85
    _samples: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    _interval: Every = field(default_factory=lambda: Every(10.0))
    _between: Mean = field(default_factory=lambda: Mean(10.0))
    _downs: int = 0

    def replicas(self, seen: Seen) -> int:
        """Return what KubeAI would set."""
        active = self._between.add(seen.active, seen.seconds)
        if not self._interval.due(seen.time):
            return seen.replicas
        self._samples.append(active)
        wanted = math.ceil(sum(self._samples) / 60 / self.target - 1e-9)
        self._downs = self._downs + 1 if wanted < seen.replicas else 0
        return seen.replicas if 0 < self._downs < 3 else wanted  # noqa: PLR2004  30 s of 10 s


@dataclass(slots=True)
class KPA:
    """Knative's pod autoscaler on concurrency.

    Source: knative/serving pkg/autoscaler/scaling and config-autoscaler: every 2 s; stable window
    60 s, panic window 6 s, panic at 200 % of what is ready, 70 % of the container's concurrency,
    at most 1000-fold up, at most halved; to zero 30 s after the window is empty.
    """

    target: float = 0.7
    _tick: Every = field(default_factory=lambda: Every(2.0))
    _stable: Mean = field(default_factory=lambda: Mean(60.0))
    _panic: Mean = field(default_factory=lambda: Mean(6.0))
    _panicking: float = -math.inf
    _highest: int = 0
    _empty: float = 0.0

    def replicas(self, seen: Seen) -> int:
        """Return what the KPA would set."""
        stable = self._stable.add(seen.active, seen.seconds)
        panic = self._panic.add(seen.active, seen.seconds)
        self._empty = 0.0 if stable > 0 else self._empty + seen.seconds
        if not self._tick.due(seen.time):
            return seen.replicas
        ready = max(seen.ready, 1)
        wanted = math.ceil(stable / self.target - 1e-9)
        burst = math.ceil(panic / self.target - 1e-9)
        wanted = max(min(wanted, ready * 1000), ready // 2)
        if burst / ready >= 2:  # noqa: PLR2004  panic-threshold-percentage 200
            self._panicking = seen.time
        if seen.time - self._panicking < 60:  # noqa: PLR2004  the stable window
            self._highest = max(self._highest, wanted, burst)
            return self._highest
        self._highest = 0
        if wanted <= 0 or (stable == 0 and seen.ready <= 1):
            return seen.replicas if self._empty < 30 else 0  # noqa: PLR2004  scale-to-zero-grace-period
        return wanted


@dataclass(slots=True)
class LLMD:
    """llm-d's SLO-aware rule: latency over its objective, with a dead band.

    Source: llm-d's autoscaling guide (KEDA on Prometheus): ratio of P90 TTFT and TPOT to their
    objectives; above 0.55 up, below 0.40 down, pods that start are credited; stabilised by the HPA
    that KEDA drives.
    """

    up: float = 0.55
    down: float = 0.40
    _ratio: Mean = field(default_factory=lambda: Mean(60.0))
    _sync: Every = field(default_factory=lambda: Every(15.0))
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def replicas(self, seen: Seen) -> int:
        """Return what the rule would set."""
        ratio = self._ratio.add(seen.pressure * max(seen.ready, 1), seen.seconds)
        if not self._sync.due(seen.time):
            return seen.replicas
        current = max(seen.replicas, 1)
        credited = ratio / current
        wanted = current
        if credited > self.up:
            wanted = math.ceil(current * credited / self.up)
        elif credited < self.down:
            wanted = max(1, math.ceil(current * credited / self.down))
        self._recent.append((seen.time, wanted))
        while self._recent[0][0] < seen.time - 300:
            self._recent.popleft()
        if wanted < current:
            wanted = min(current, max(count for _, count in self._recent))
        return min(wanted, max(current + 4, current * 2))
