"""Metrics of the autoscaling loop; labels name models of resources, which the cluster bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

    from hybrid_operator.core.scaling.types import Decision

_MODEL = ("namespace", "resource", "model")
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ScalingMetrics:
    """What autoscaling counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._replicas = Gauge(
            "hinf_operator_scaling_recommended_replicas",
            "Replicas that a model should have.",
            _MODEL,
            registry=registry,
        )
        self._demand = Gauge(
            "hinf_operator_scaling_demand_replicas",
            "Replicas' worth of work that is asked of a model: served, waiting and diverted.",
            _MODEL,
            registry=registry,
        )
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

    def model(self, labels: tuple[str, str, str], decision: Decision) -> None:
        """Show what was decided for one model."""
        self._replicas.labels(*labels).set(decision.replicas)
        self._demand.labels(*labels).set(decision.numbers.get("demand_replicas", 0.0))

    def forget(self, namespace: str, resource: str, models: Sequence[str]) -> None:
        """Drop the series of models that are gone."""
        for model in models:
            for gauge in (self._replicas, self._demand):
                gauge.remove_by_labels(
                    {"namespace": namespace, "resource": resource, "model": model}
                )
