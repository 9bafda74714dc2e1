"""What it takes to judge: questions to a local model, and drafts, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hybrid_router.telemetry.series import Counter

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Question = Literal["answered", "known", "joined", "timeout", "failed"]
DraftOutcome = Literal["accepted", "escalated", "undecided"]


class Judged:
    """Questions and drafts by their outcome. Every label is of a closed set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._questions = Counter(
            "hinf_router_classifier_questions",
            "Prompts that a local model was to judge: answered, known from before, joined to the "
            "same question under way, timeout, failed.",
            ("classifier", "outcome"),
            registry=registry,
        )
        self._drafts = Counter(
            "hinf_router_drafts",
            "Drafts of a local model by what became of them: accepted, escalated, undecided.",
            ("backend", "outcome"),
            registry=registry,
        )
        self._tokens = Counter(
            "hinf_router_draft_tokens",
            "Tokens that had been generated for drafts when they were judged.",
            ("backend", "outcome"),
            registry=registry,
        )

    def question(self, classifier: str, outcome: Question) -> None:
        """Count a prompt that a local model was to judge."""
        self._questions.labels(classifier, outcome).inc()

    def draft(self, backend: str, outcome: DraftOutcome, tokens: int) -> None:
        """Count a draft that was judged, and the tokens that it had by then."""
        self._drafts.labels(backend, outcome).inc()
        self._tokens.labels(backend, outcome).inc(tokens)
