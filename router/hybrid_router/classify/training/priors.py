"""What is known of a small model before anyone has measured it on one's own requests.

Sources: the success rates of fine-tuned Llama 3 8B (text-to-SQL, JSON extraction, intent routing)
and of small models on debugging, which the catalogue's `tasks.toml` lists; where `source` is
"judgement" nothing is published for the task as such.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prior:
    """P(good enough) of an average task of the kind."""

    probability: float
    slope: float
    """How much of the score carries over from exam questions to this kind of task."""
    source: str


PRIORS = {
    "text-to-sql": Prior(0.89, 0.3, "fine-tuned 8B, task table"),
    "json-extraction": Prior(0.97, 0.2, "fine-tuned 8B, task table"),
    "intent-routing": Prior(0.94, 0.2, "fine-tuned 8B, task table"),
    "debugging": Prior(0.68, 0.3, "fine-tuned 8B, task table"),
    "code-writing": Prior(0.72, 0.3, "judgement"),
    "summarising": Prior(0.90, 0.2, "judgement"),
    "translation": Prior(0.87, 0.2, "judgement"),
    "creative-writing": Prior(0.55, 0.2, "judgement"),
    "chat": Prior(0.95, 0.1, "judgement"),
    "factual-question/open": Prior(0.88, 0.4, "judgement: people ask simpler than exams do"),
}
LABELLED = ("maths", "reasoning", "factual-question")
"""Intents that the labels hold: their scaling is fitted."""
