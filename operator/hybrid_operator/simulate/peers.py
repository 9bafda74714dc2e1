"""Scaling policies of other systems, each after its own source, at its own defaults.

All look at the same demand and aim at what a replica can do; where a system's default target is a
number that fits no engine in particular (100 requests, 100 tokens/s), the target is what the
engine can really do, which favours it. Who sees requests sees those at the API, too: demand that
does not fit would otherwise be invisible to all of them. None knows a price.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.simulate.fluid import Seen


TOLERANCE = 0.1
"""Share by which an HPA's metric may miss its target without anything moving."""


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


class Limit(NamedTuple):
    """How far an HPA may move within a period: by `pods` or by `share`, whichever is more."""

    pods: int
    share: float
    """1.0: by 100 %."""
    seconds: float


UP, DOWN = Limit(4, 1.0, 15.0), Limit(0, 1.0, 15.0)
"""An HPA's defaults."""


@dataclass(slots=True)
class Behavior:
    """The `behavior` of a HorizontalPodAutoscaler, at its defaults unless told otherwise.

    Source: Kubernetes v1.33.1, pkg/controller/podautoscaler/horizontal.go
    (stabilizeRecommendationWithBehaviors, convertDesiredReplicasWithBehaviorRate): replicas move
    into the band from the lowest recommendation of the window for up to the highest of the window
    for down, then no further than the limits allow from where the period began.
    """

    up_seconds: float = 0.0
    down_seconds: float = 300.0
    up: Limit = UP
    down: Limit = DOWN
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def apply(self, wanted: int, current: int, now: float) -> int:
        """Return the replicas to set, and remember."""
        while self._recent and self._recent[0][0] <= now - max(self.up_seconds, self.down_seconds):
            self._recent.popleft()
        if not self._recent:
            self._recent.append((now, current))  # recordInitialRecommendation
        least = min([wanted, *self._since(now - self.up_seconds)])
        most = max([wanted, *self._since(now - self.down_seconds)])
        self._recent.append((now, wanted))
        found = min(max(current, least), most)
        if found > current:
            began = current - self._moved(now, self.up.seconds)
            highest = max(began + self.up.pods, math.ceil(began * (1 + self.up.share) - 1e-9))
            found = min(found, max(highest, current))
        elif found < current:
            began = current - self._moved(now, self.down.seconds)
            lowest = min(began - self.down.pods, int(began * (1 - self.down.share)))
            found = max(found, min(lowest, current))
        if found != current:
            self._changes.append((now, found - current))
        return found

    def _since(self, cut: float) -> list[int]:
        return [count for time, count in self._recent if time > cut]

    def _moved(self, now: float, seconds: float) -> int:
        longest = max(self.up.seconds, self.down.seconds)
        while self._changes and self._changes[0][0] <= now - longest:
            self._changes.popleft()
        return sum(change for time, change in self._changes if time > now - seconds)


@dataclass(slots=True)
class HPA:
    """HorizontalPodAutoscaler v2 on token throughput, 70 % target.

    Source: Kubernetes v1.33.1, pkg/controller/podautoscaler/replica_calculator.go
    (GetExternalPerPodMetricReplicas): a metric over all pods with an AverageValue; within a
    tolerance of 0.1 nothing moves, else ceil(metric / target). Looks every 15 s; at least one
    replica. The metric is a rate over one minute, as Prometheus adapters are set up.
    """

    target: float = 0.7
    behavior: Behavior = field(default_factory=Behavior)
    _rate: Mean = field(default_factory=lambda: Mean(60.0))
    _sync: Every = field(default_factory=lambda: Every(15.0))

    def replicas(self, seen: Seen) -> int:
        """Return what the controller would set."""
        rate = self._rate.add(seen.work, seen.seconds)
        if not self._sync.due(seen.time):
            return seen.replicas
        return self.scaled(rate / self.target, seen)

    def scaled(self, wanted: float, seen: Seen) -> int:
        """Return the replicas to set where a metric asks for `wanted`."""
        current = max(seen.replicas, 1)
        near = abs(wanted / current - 1) <= TOLERANCE
        count = current if near else max(math.ceil(wanted - 1e-9), 1)
        return self.behavior.apply(count, current, seen.time)


@dataclass(slots=True)
class KEDA:
    """KEDA as vLLM production-stack's operator sets it up.

    Source: vllm-project/production-stack a6c01db, reconcileScaledObject in
    operator/internal/controller/vllmruntime_controller.go and the sample with all defaults: running
    requests and the rates of prompt and of generated tokens over one minute, the one that asks for
    most counts; one pod up in 60 s, one down in 60 s after 300 s; to zero when there was no request
    for 1800 s (KEDA v2.20.1, pkg/scaling/executor: cooldownPeriod since a trigger was last active),
    polled every 15 s, and woken to one by the router's count of requests. Thresholds of 5 requests
    and 100 tokens/s a pod are replaced by 85 % of what a replica can do. The Helm chart's own
    trigger, more than 5 requests that wait at engines, never fires where an API takes what would
    wait.
    """

    target: float = 0.85
    _hpa: HPA = field(init=False)
    _poll: Every = field(default_factory=lambda: Every(15.0))
    _rate: Mean = field(default_factory=lambda: Mean(60.0))
    _keepalive: Mean = field(default_factory=lambda: Mean(120.0))
    _active: float = 0.0

    def __post_init__(self) -> None:
        limit = Limit(1, 0.0, 60.0)
        self._hpa = HPA(behavior=Behavior(up=limit, down=limit))

    def replicas(self, seen: Seen) -> int:
        """Return what KEDA, or its HPA, would set."""
        rate = self._rate.add(seen.work, seen.seconds)
        if self._keepalive.add(seen.tokens, seen.seconds) > 0:
            self._active = seen.time
        if not self._poll.due(seen.time):
            return seen.replicas
        if seen.time - self._active > 1800:  # noqa: PLR2004  cooldownPeriod
            return 0
        if seen.replicas == 0:
            return int(self._active == seen.time)
        # Of the triggers on requests and on tokens, `work` stands for both kinds of tokens.
        return self._hpa.scaled(max(rate, seen.active) / self.target, seen)


@dataclass(slots=True)
class KubeAI:
    """KubeAI's autoscaler: active requests, averaged over 10 minutes.

    Source: kubeai-project/kubeai v0.22.1, internal/modelautoscaler/autoscaler.go,
    internal/movingaverage/simple.go, internal/modelclient/scale.go: every 10 s,
    ceil(mean of 60 samples, zeros at first / target); down only after 3 looks in a row that
    asked for it (scaleDownDelaySeconds 30), at the fourth; a request wakes a model from zero.
    A sample is the mean since the last one, not what a scrape happens to see: that favours it.
    """

    target: float = 0.85
    _samples: deque[float] = field(default_factory=lambda: deque([0.0] * 60, maxlen=60))
    _interval: Every = field(default_factory=lambda: Every(10.0))
    _between: Mean = field(default_factory=lambda: Mean(10.0))
    _downs: int = 0

    def replicas(self, seen: Seen) -> int:
        """Return what KubeAI would set."""
        active = self._between.add(seen.active, seen.seconds)
        awake = max(seen.replicas, int(seen.tokens > 0))
        if not self._interval.due(seen.time):
            return awake
        self._samples.append(active)
        wanted = math.ceil(sum(self._samples) / 60 / self.target - 1e-9)
        if wanted >= awake:
            self._downs = 0
            return wanted
        if self._downs < 3:  # noqa: PLR2004  30 s of 10 s
            self._downs += 1
            return awake
        return wanted


@dataclass(slots=True)
class KPA:
    """Knative's pod autoscaler on concurrency.

    Source: Knative Serving v0.45.0, pkg/autoscaler/scaling/autoscaler.go, pkg/reconciler/
    autoscaling/kpa/scaler.go and config/core/configmaps/autoscaler.yaml: every 2 s; stable window
    60 s, panic window 6 s, 70 % of the container's concurrency; at most 1000-fold up, at most
    halved; panic from 200 % of what is ready until 60 s after, in which nothing goes down; to zero
    after a grace of 30 s. Excess burst capacity decides whether Knative's activator stands in the
    path, not on replicas, so it is left out.
    """

    target: float = 0.7
    _tick: Every = field(default_factory=lambda: Every(2.0))
    _stable: Mean = field(default_factory=lambda: Mean(60.0))
    _panic: Mean = field(default_factory=lambda: Mean(6.0))
    _panicking: float = -math.inf
    _highest: int = 0
    _inactive: float | None = None

    def replicas(self, seen: Seen) -> int:
        """Return what the KPA would set."""
        stable = self._stable.add(seen.active, seen.seconds)
        panic = self._panic.add(seen.active, seen.seconds)
        if not self._tick.due(seen.time):
            return seen.replicas
        wanted = self._wanted(stable, panic, seen)
        if wanted > 0:
            self._inactive = None
            return wanted
        since = self._inactive = seen.time if self._inactive is None else self._inactive
        return 0 if seen.time - since >= 30 else seen.replicas  # noqa: PLR2004  grace period

    def _wanted(self, stable: float, panic: float, seen: Seen) -> int:
        ready = max(seen.ready, 1)
        over = math.ceil(panic / self.target - 1e-9)
        wanted, burst = (
            min(max(count, ready // 2), ready * 1000)
            for count in (math.ceil(stable / self.target - 1e-9), over)
        )
        if over / ready >= 2:  # noqa: PLR2004  panic-threshold-percentage 200
            self._panicking = seen.time
        if seen.time - self._panicking > 60:  # noqa: PLR2004  the stable window
            self._highest = 0
            return wanted
        self._highest = max(self._highest, wanted, burst)
        return self._highest


@dataclass(slots=True)
class LLMD:
    """llm-d's SLO-aware rule: latency over its objective, with a dead band.

    Source: llm-d/llm-d d38c9f0, guides/workload-autoscaling/README.slo-aware.md: the worse of P90
    TTFT and P90 TPOT over their objectives, cut at 2, averaged over 45 s; above 0.55 up, those that
    start credited; below 0.40 down, uncredited; KEDA's HPA stabilises up for 30 s and down for
    180 s, at most doubles or adds 4 in 60 s, and takes one away in 120 s. At least one replica (the
    guide's example has 3).
    """

    up: float = 0.55
    down: float = 0.40
    behavior: Behavior = field(
        default_factory=lambda: Behavior(30.0, 180.0, Limit(4, 1.0, 60.0), Limit(1, 0.0, 120.0))
    )
    _signal: Mean = field(default_factory=lambda: Mean(45.0))
    _sync: Every = field(default_factory=lambda: Every(15.0))

    def replicas(self, seen: Seen) -> int:
        """Return what the rule would set."""
        signal = self._signal.add(min(seen.pressure, 2.0), seen.seconds)
        if not self._sync.due(seen.time):
            return seen.replicas
        current = max(seen.replicas, 1)
        wanted = current
        if signal > self.up:
            credit = seen.ready / current if 0 < seen.ready < current else 1.0
            wanted += math.ceil(current * (signal * credit / self.up - 1) - 1e-9)
        elif signal < self.down:
            wanted -= math.floor(current * (1 - signal / self.down) + 1e-9)
        # The formula's result is a metric with target 1: the HPA's tolerance holds here, too.
        near = abs(wanted / current - 1) <= TOLERANCE
        count = current if near else max(wanted, 1)
        return self.behavior.apply(count, current, seen.time)
