"""Metrics of the autoscaling loop; labels name models of resources, which the cluster bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import CollectorRegistry

    from hybrid_operator.core.scaling.capacity import Capacity
    from hybrid_operator.core.scaling.types import Decision, Objectives

_MODEL = ("namespace", "resource", "model")
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Shown(NamedTuple):
    """What there is to tell of one model."""

    decision: Decision
    capacity: Capacity
    objectives: Objectives


class ScalingMetrics:
    """What autoscaling counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models = _Models()
        registry.register(self._models)
        self._decisions = Counter(
            "hinf_operator_scaling_decisions",
            "Decisions that differ from the one before, by reason.",
            ("reason",),
            registry=registry,
        )
        self._seconds = Histogram(
            "hinf_operator_scaling_look_duration_seconds",
            "Duration of one look at all models, the second over which pods are asked included.",
            buckets=_SECONDS,
            registry=registry,
        )

    def looked(self, seconds: float) -> None:
        """Observe a look."""
        self._seconds.observe(seconds)

    def decided(self, reason: str) -> None:
        """Count a decision."""
        self._decisions.labels(reason).inc()

    def model(self, labels: tuple[str, str, str], shown: Shown) -> None:
        """Show what was decided for one model, and what it goes by."""
        self._models.shown[labels] = shown

    def forget(self, namespace: str, resource: str, models: Sequence[str]) -> None:
        """Drop the series of models that are gone."""
        for model in models:
            self._models.shown.pop((namespace, resource, model), None)


class _Models(Collector):
    """A value of each kind for each model, made of what was decided when Prometheus asks.

    Gauges of `prometheus_client` are a kilobyte each: a thousand models have ten thousand.
    """

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str, str], Shown] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges; what is not known of a model is left out."""
        shown = list(self.shown.items())  # at once: the loop changes it in another thread
        for name, text, value in _GAUGES:
            family = GaugeMetricFamily(f"hinf_operator_scaling_{name}", text, labels=_MODEL)
            for labels, each in shown:
                found = value(each)
                if found is not None:
                    family.add_metric(labels, found)
            yield family


def _number(name: str) -> Callable[[Shown], float | None]:
    return lambda shown: shown.decision.numbers.get(name)


def _ratio(name: str) -> Callable[[Shown], float | None]:
    def ratio(shown: Shown) -> float | None:
        seen, limit = shown.decision.numbers.get(name), getattr(shown.objectives, name)
        return seen / limit if seen is not None and limit else None

    return ratio


_GAUGES: Final[tuple[tuple[str, str, Callable[[Shown], float | None]], ...]] = (
    (
        "recommended_replicas",
        "Replicas that a model should have.",
        lambda shown: shown.decision.replicas,
    ),
    (
        "demand_replicas",
        "Replicas' worth of work that is asked of a model: served, waiting and diverted.",
        _number("demand_replicas"),
    ),
    ("ready_replicas", "Replicas that serve.", _number("ready_replicas")),
    (
        "tokens_in_flight",
        "Tokens of requests under way, prompts and answers, as routers estimate them.",
        _number("tokens_in_flight"),
    ),
    (
        "prefill_tokens_per_second",
        "Prompt tokens that a replica can compute in a second, as far as it was seen.",
        lambda shown: shown.capacity.prefill,
    ),
    (
        "decode_tokens_per_second",
        "Tokens that a replica can generate in a second, as far as it was seen.",
        lambda shown: shown.capacity.decode,
    ),
    (
        "cold_start_seconds",
        "From asking for a replica until it serves: as seen, else as assumed.",
        _number("cold_start_seconds"),
    ),
    (
        "ttft_objective_ratio",
        "90th percentile of the time to first token as a share of its objective, where known.",
        _ratio("ttft_seconds"),
    ),
    (
        "itl_objective_ratio",
        "90th percentile of the time between tokens as a share of its objective, where known.",
        _ratio("itl_seconds"),
    ),
    (
        "api_usd_per_hour",
        "What the API would take for the demand, in USD an hour. Absent where a price is unknown.",
        _number("api_usd_per_hour"),
    ),
    (
        "replicas_usd_per_hour",
        "What the replicas cost, in USD an hour. Absent where a price is unknown.",
        _number("gpu_usd_per_hour"),
    ),
)
"""Name, help and value."""
