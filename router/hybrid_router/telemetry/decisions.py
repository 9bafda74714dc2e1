"""What classifiers say, and what follows from it, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.telemetry.series import Count, Counter, Distribution, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from hybrid_router.core.decision import Decision
    from hybrid_router.table import Backend

CONFIDENCES: Final[tuple[float, ...]] = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
)  # fmt: skip


class Decisions:
    """Classified requests by intent, side and rule. Every label is of a closed set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "hinf_router_decisions",
            "Classified requests: intent, side asked first, side in shadow mode, rule.",
            ("intent", "side", "shadow", "rule"),
            registry=registry,
        )
        self._confidence = Histogram(
            "hinf_router_confidence",
            "The classifier's P(the local model is good enough).",
            ("intent",),
            CONFIDENCES,
            registry=registry,
        )
        self._children: dict[tuple[str, str, str, str], Count] = {}
        self._histograms: dict[str, Distribution] = {}

    def made(self, decision: Decision, backends: Mapping[str, Backend]) -> None:
        """Count a decision that rests on a confidence."""
        if decision.confidence is None:
            return
        intent = decision.intent or "unknown"
        internal = backends[decision.targets[0].backend].trust == "internal"
        key = (
            intent,
            "local" if internal else "api",
            decision.shadowed or "",
            decision.rule or "",
        )
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._decisions.labels(*key)
        child.inc()
        histogram = self._histograms.get(intent)
        if histogram is None:
            histogram = self._histograms[intent] = self._confidence.labels(intent)
        histogram.observe(decision.confidence)
