"""What it takes to judge: questions to a local model, and drafts, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hybrid_router.telemetry.series import Counter

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Question = Literal["answered", "known", "joined", "timeout", "failed"]


class Judged:
    """Questions by their outcome. Every label is of a closed set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._questions = Counter(
            "hinf_router_classifier_questions",
            "Prompts that a local model was to judge: answered, known from before, joined to the "
            "same question under way, timeout, failed.",
            ("classifier", "outcome"),
            registry=registry,
        )

    def question(self, classifier: str, outcome: Question) -> None:
        """Count a prompt that a local model was to judge."""
        self._questions.labels(classifier, outcome).inc()
