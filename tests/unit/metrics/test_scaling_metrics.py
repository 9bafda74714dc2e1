"""What the operator's own metrics tell of every model that it decides on."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from hybrid_operator.core.scaling.capacity import seeded
from hybrid_operator.core.scaling.types import Decision, Objectives
from hybrid_operator.metrics.scaling import ScalingMetrics, Shown

DOCS = Path(__file__).parents[3] / "docs" / "autoscaling.md"
LABELS = ("ns", "support", "m")
NUMBERS = {
    "demand_replicas": 1.5,
    "ready_replicas": 2.0,
    "cold_start_seconds": 75.0,
    "ttft_seconds": 3.0,
    "itl_seconds": 0.05,
    "api_usd_per_hour": 4.5,
    "gpu_usd_per_hour": 2.0,
}
CAPACITY = seeded(4000.0, 600.0)


class Page:
    """The loop's metrics, and what Prometheus reads of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ScalingMetrics(self.registry)

    def show(self, numbers: dict[str, float], objectives: Objectives) -> None:
        decision = Decision(2, "Demand", "", 2, numbers)
        self.metrics.model(LABELS, Shown(decision, CAPACITY, objectives))

    def read(self) -> dict[str, float]:
        """Return the values of the one model by name."""
        labels = 'model="m",namespace="ns",resource="support"'
        text = generate_latest(self.registry).decode()
        rows = re.findall(rf"^hinf_operator_scaling_(\w+){{{labels}}} (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in rows}


def test_all_that_a_decision_goes_by_is_told():
    page = Page()
    page.show(NUMBERS, Objectives(2.0, 0.1))
    assert page.read() == {
        "recommended_replicas": 2.0,
        "demand_replicas": 1.5,
        "ready_replicas": 2.0,
        "prefill_tokens_per_second": 4000.0,
        "decode_tokens_per_second": 600.0,
        "cold_start_seconds": 75.0,
        "ttft_objective_ratio": 1.5,
        "itl_objective_ratio": 0.5,
        "api_usd_per_hour": 4.5,
        "replicas_usd_per_hour": 2.0,
    }


def test_what_is_not_known_any_more_is_absent():
    page = Page()
    page.show(NUMBERS, Objectives(2.0, 0.1))
    page.show({"demand_replicas": 0.0}, Objectives(2.0, None))
    assert page.read().keys() == {
        "recommended_replicas",
        "demand_replicas",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
    }


def test_a_model_that_is_gone_is_not_told_of():
    page = Page()
    page.show(NUMBERS, Objectives())
    page.metrics.forget("ns", "support", ["m", "another"])
    assert page.read() == {}


def test_the_documentation_has_every_one_of_them():
    text = DOCS.read_text()
    page = Page()
    page.show(NUMBERS, Objectives(2.0, 0.1))
    named = {
        family.name.removeprefix("hinf_operator_scaling_") for family in page.registry.collect()
    }
    assert not [name for name in named if f"`{name}`" not in text and f"`{name}_total`" not in text]
