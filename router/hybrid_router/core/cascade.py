"""A cascade: the local model drafts an answer, and how sure it was decides who answers.

Before the draft `drafted` says whether there is one; after it `settled` makes a decision of its
confidence. Both are pure. A draft can do nothing that a decision could not: it is asked of local
targets that may answer, and what escalates goes to external ones that may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.core.decision import Drafts, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_router.core.decision import Decision, Verdict
    from hybrid_router.core.terms import Side, Terms
    from hybrid_router.table import Backend, Policy, Target

NAME = "cascade"


@dataclass(frozen=True, slots=True)
class Sureness:
    """What a draft's log-probabilities say."""

    logprob: float
    """Mean over its tokens, in nats; 0 where every token was certain."""
    margin: float
    """Mean distance of the two likeliest tokens, in probability."""
    tokens: int
    """That were looked at."""

    @property
    def score(self) -> float:
        """The confidence before any calibration, in [0, 1]; grows with both.

        The geometric mean of the tokens' probability (1 / perplexity) and of the margin: a model
        that hesitates between two tokens is unsure, even where each of them is likely.
        """
        likely = math.exp(min(self.logprob, 0.0))
        return math.sqrt(likely * min(max(self.margin, 0.0), 1.0))


_JUDGED = frozenset(
    (Reason.CONFIDENT, Reason.NOT_CONFIDENT, Reason.CONVERSATION, Reason.CLASSIFIER_ERROR)
)
"""Decisions that a draft makes better; all others do not rest on a confidence."""


def drafted(
    made: Decision,
    policy: Policy,
    backends: Mapping[str, Backend],
    terms: Terms,
    available: Callable[[str], bool],
) -> Decision:
    """Return the decision with a local draft first, or as it is where no draft can help.

    Args:
        made: by the prompt alone.
        policy: what holds for all requests.
        backends: of the table.
        terms: what holds for this request.
        available: whether a backend, by its name, would take a request now.
    """
    shadow = made.reason is Reason.SHADOW and policy.shadow == "local"
    if not shadow and made.reason not in _JUDGED:
        return made
    local = [t for t in made.targets if _internal(t, backends) and available(t.backend)]
    external = [t for t in made.targets if not _internal(t, backends)]
    if not local or not any(available(t.backend) for t in external):
        return made
    away = [t for t in made.targets if _internal(t, backends) and t not in local]
    classifier = policy.classifier
    return msgspec.structs.replace(
        made,
        targets=(*local, *external, *away),
        reason=Reason.SHADOW if shadow else Reason.DRAFT,
        confidence=None,
        classifier=NAME,
        threshold=terms.at(made.intent),
        shadowed=None,
        draft=Drafts(classifier.draft_tokens, classifier.timeout, shadow=shadow),
    )


def settled(made: Decision, verdict: Verdict, backends: Mapping[str, Backend]) -> Decision:
    """Return the decision after its draft.

    Args:
        made: what `drafted` returned.
        verdict: with the draft's confidence; without one, nothing was said of it in time.
        backends: of the table.
    """
    confidence, threshold = verdict.confidence, made.threshold
    reason, side = Reason.CLASSIFIER_ERROR, "api"  # type: Reason, Side
    if confidence is not None and threshold is not None:
        sure = confidence >= threshold
        side = "local" if sure else "api"
        reason = Reason.CONFIDENT if sure else Reason.NOT_CONFIDENT
    shadow = made.draft is not None and made.draft.shadow
    first: Side = "local" if shadow else side
    return msgspec.structs.replace(
        made,
        targets=tuple(
            sorted(made.targets, key=lambda t: _internal(t, backends) == (first == "api"))
        ),
        reason=Reason.SHADOW if shadow else reason,
        confidence=confidence,
        classifier=verdict.classifier,
        score=verdict.score if verdict.score is not None else confidence,
        shadowed=side if shadow else None,
        draft=None,
    )


def _internal(target: Target, backends: Mapping[str, Backend]) -> bool:
    return backends[target.backend].trust == "internal"
