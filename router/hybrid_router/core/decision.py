"""Where a request goes: which targets may answer it, in which order, and why.

Two steps, both pure. `candidates` removes what must not or cannot answer: the data policy first,
then capabilities, then context length. `decide` orders what is left. Availability changes the order
only: it never brings back what the policy removed.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.core.terms import Side, Terms
from hybrid_router.table import Capability, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hybrid_router.table import Backend, Model, Policy, RouteTable


DOUBT: Final = 2.0
"""An estimate of tokens may be that many times too high: long words, white space, figures."""


class Reason(enum.StrEnum):
    """Why a request went where it went: `x-hybrid-reason` and the label `reason`; a closed set."""

    EXPLICIT = "explicit"
    ORDERED = "ordered"
    DRAFT = "draft"
    CONFIDENT = "confident"
    NOT_CONFIDENT = "not-confident"
    CLASSIFIER_ERROR = "classifier-error"
    RULE = "rule"
    INTENT = "intent"
    CONVERSATION = "conversation"
    SHADOW = "shadow"
    LOCAL_ONLY = "local-only"
    DATA_POLICY = "data-policy"
    NO_LOCAL_TARGET = "no-local-target"
    NO_EXTERNAL_TARGET = "no-external-target"
    LOCAL_UNAVAILABLE = "local-unavailable"
    EXTERNAL_UNAVAILABLE = "external-unavailable"
    LOCAL_FAILED = "local-failed"
    EXTERNAL_FAILED = "external-failed"
    REFUSED = "refused"


REASONS: Final[Mapping[Reason, str]] = {
    Reason.EXPLICIT: "the client named one model, and that model answers",
    Reason.ORDERED: "the name stands for a list of models that is taken in its order",
    Reason.DRAFT: "the local model drafts an answer; how sure it is decides who answers",
    Reason.CONFIDENT: "the classifier's confidence reaches the threshold: local",
    Reason.NOT_CONFIDENT: "the classifier's confidence is below the threshold: the API",
    Reason.CLASSIFIER_ERROR: "the classifier gave no verdict: the API",
    Reason.RULE: "a rule of the policy names the side",
    Reason.INTENT: "the policy prefers this side for the prompt's intent",
    Reason.CONVERSATION: "the conversation stays where it was: its confidence changed too little",
    Reason.SHADOW: "shadow mode: all requests go one way, the decision is only recorded",
    Reason.LOCAL_ONLY: "the policy lets nothing leave the cluster: local",
    Reason.DATA_POLICY: "what the request holds must stay inside the cluster: local",
    Reason.NO_LOCAL_TARGET: "no local model of this name can take the request: the API",
    Reason.NO_EXTERNAL_TARGET: "no API model of this name can take the request: local",
    Reason.LOCAL_UNAVAILABLE: "local was preferred and had no place, or none in time: the API",
    Reason.EXTERNAL_UNAVAILABLE: "the API was preferred and not available: local",
    Reason.LOCAL_FAILED: "local was tried and failed before it had generated anything: the API",
    Reason.EXTERNAL_FAILED: "the API was tried and failed before it had generated anything: local",
    Reason.REFUSED: "nothing may or can answer",
}
"""What each reason means, in the words of the documentation."""


class Refused(Exception):  # noqa: N818  a decision, not a fault
    """No target may or can answer.

    Attributes:
        status: of the HTTP response.
        code: for the error envelope, in snake_case as OpenAI writes them.
        message: for people, and for the client; holds nothing of the prompt.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Needs(msgspec.Struct, frozen=True):
    """What a request asks of a model."""

    tokens: int
    """Estimated tokens of the prompt and the longest answer asked for."""
    capabilities: frozenset[Capability] = frozenset()


class Earlier(msgspec.Struct, frozen=True):
    """The judgement of an earlier user turn of the same conversation."""

    confidence: float
    intent: str


class Verdict(msgspec.Struct, frozen=True):
    """A classifier's judgement of one prompt."""

    confidence: float | None
    """That the local model is good enough, in [0, 1]; None without a judgement."""
    intent: str | None
    """What kind of task it is, from the classifier's closed set."""
    classifier: str
    """Who judged, and how far to trust it (`embedded-uncalibrated`)."""
    error: str | None = None
    """Why there is no confidence, when there should be one."""
    earlier: tuple[Earlier, ...] = ()
    """Of the conversation's earlier user turns, in order."""
    score: float | None = None
    """The confidence before outcomes corrected it; None where none did."""


NOT_JUDGED: Final = Verdict(confidence=None, intent=None, classifier="none")
"""For a classified alias with one side only, where no judgement could matter: see `worth_judging`.

Where both sides are there and nobody judges (classifier `none`), the verdict is None instead: the
targets' own order stands.
"""


class Drafts(msgspec.Struct, frozen=True):
    """That a local model drafts the answer before it is decided who answers; see `core.cascade`."""

    tokens: int
    """Of the draft, that are judged."""
    seconds: float
    """That a stream may be held for it."""
    shadow: bool = False
    """The client gets it in any case."""


class Decision(msgspec.Struct, frozen=True):
    """The targets in the order in which they are tried, and why the first one is the first."""

    targets: tuple[Target, ...]
    reason: Reason
    confidence: float | None = None
    intent: str | None = None
    classifier: str | None = None
    """Who judged (`Verdict.classifier`); None if nobody was asked."""
    threshold: float | None = None
    """That the confidence was held against; None where it decided nothing."""
    rule: str | None = None
    """The rule of the policy that matched, where it had a say."""
    shadowed: Side | None = None
    """In shadow mode: the side that would have been asked first."""
    score: float | None = None
    """The confidence before outcomes corrected it."""
    draft: Drafts | None = None
    """The first target drafts, and what it says decides."""
    undrafted: str | None = None
    """The field of the request that forbids a draft, where there would have been one."""


def candidates(
    table: RouteTable, model: Model, needs: Needs, kept: str | None = None
) -> tuple[Target, ...]:
    """Return those of the model's targets that may and can answer, in the table's order.

    `kept` says why this request must stay inside the cluster; None where it may leave.

    Where the prompt is estimated to be too long for all of them, but might fit if the estimate is
    too high, the backends are left to say so: they count exactly.

    Raises:
        Refused: none is left; says which of the three steps removed the last one.
    """
    targets: Sequence[Target] = model.targets
    inside = table.policy.local_only or kept
    if inside is not None:
        targets = [t for t in targets if table.backends[t.backend].trust == "internal"]
        if not targets:
            raise Refused(403, "data_policy", _kept_inside(inside))
    able = targets
    if needs.capabilities:
        able = [t for t in targets if needs.capabilities.isdisjoint(t.lacks)]
        if not able:
            raise Refused(400, "unsupported_capability", _not_able(targets, needs))
    fitting = _fitting(able, needs.tokens) or _fitting(able, needs.tokens / DOUBT)
    if not fitting:
        raise Refused(400, "context_length_exceeded", _too_long(able, needs))
    return fitting


def _fitting(targets: Sequence[Target], tokens: float) -> tuple[Target, ...]:
    return tuple([t for t in targets if (t.max_context_tokens or tokens) >= tokens])


def worth_judging(model: Model, targets: Sequence[Target], backends: Mapping[str, Backend]) -> bool:
    """Return whether a classifier's verdict could change the order: both sides are there."""
    return model.classified and len({backends[t.backend].trust for t in targets}) > 1


def decide(
    policy: Policy,
    targets: Sequence[Target],
    backends: Mapping[str, Backend],
    verdict: Verdict | None,
    available: Callable[[str], bool],
    terms: Terms | None = None,
) -> Decision:
    """Order `targets` for the attempts.

    Args:
        policy: what holds for all requests.
        targets: what `candidates` left.
        backends: of the table.
        verdict: None for a name that is not classified and where nobody judges.
        available: whether a backend, by its name, would take a request now.
        terms: what holds for this request; the policy's own terms without them. The models that
            a rule allows bind every name; those of an intent, prompts that have been judged.

    Raises:
        Refused: `targets` is empty, or none of them is allowed.
    """
    terms = terms if terms is not None else Terms(threshold=policy.threshold)
    if policy.local_only is not None:  # again: a caller that skipped `candidates` leaks nothing
        targets = [t for t in targets if backends[t.backend].trust == "internal"]
    if not targets:
        raise Refused(503, "no_backend", "no backend serves this model at the moment")
    intent = verdict.intent if verdict is not None else None
    named = len(targets) == 1
    targets = _allowed(targets, terms.models(intent), terms)
    preferred, reason = _prefer(policy, targets, backends, verdict, terms)
    if verdict is None and named:
        reason = Reason.EXPLICIT
    rule = terms.rule
    if rule is not None and not terms.allowed and reason in _ONE_WAY:
        rule = None  # it matched, and had no effect
    shadowed = None
    if policy.shadow is not None and reason in _SHADOWED:
        shadowed = _side(preferred[0], backends)
        preferred, reason = _one_way(policy.shadow, preferred, backends), Reason.SHADOW
    order, reason = _by_availability(preferred, reason, backends, available)
    if verdict is None:
        return Decision(order, reason, rule=rule)
    threshold = terms.at(intent) if verdict.confidence is not None else None
    return Decision(
        order, reason, verdict.confidence, intent, verdict.classifier, threshold, rule,
        shadowed, verdict.score if verdict.score is not None else verdict.confidence,
    )  # fmt: skip


def after_failure(failed: Backend) -> Reason:
    """Return the reason of an answer that came from elsewhere after an attempt at `failed`."""
    return Reason.LOCAL_FAILED if failed.trust == "internal" else Reason.EXTERNAL_FAILED


_SHADOWED: Final = frozenset(
    (
        Reason.CONFIDENT, Reason.NOT_CONFIDENT, Reason.CLASSIFIER_ERROR, Reason.INTENT, Reason.RULE,
        Reason.CONVERSATION,
    )
)  # fmt: skip
"""Decisions between two sides that could both answer."""
_ONE_WAY: Final = frozenset(
    (
        Reason.EXPLICIT, Reason.ORDERED, Reason.NO_LOCAL_TARGET, Reason.NO_EXTERNAL_TARGET,
        Reason.LOCAL_ONLY,
    )
)  # fmt: skip
"""Decisions that nothing was weighed for: neither a side nor a threshold had a say."""


def _allowed(targets: Sequence[Target], models: Sequence[str], terms: Terms) -> Sequence[Target]:
    """Return the targets whose models are allowed; all where none is named.

    Raises:
        Refused: none is.
    """
    if not models:
        return targets
    left = [t for t in targets if t.model in models or f"{t.backend}/{t.model}" in models]
    if not left:
        who = f"rule {terms.rule}" if terms.allowed else "the policy of this prompt's intent"
        raise Refused(403, "model_not_allowed", _not_allowed(who, models))
    return left


def _prefer(
    policy: Policy,
    targets: Sequence[Target],
    backends: Mapping[str, Backend],
    verdict: Verdict | None,
    terms: Terms,
) -> tuple[Sequence[Target], Reason]:
    """Return the targets in the order that policy and verdict ask for, and the reason."""
    if verdict is None:
        return targets, Reason.ORDERED
    local = [t for t in targets if backends[t.backend].trust == "internal"]
    external = [t for t in targets if backends[t.backend].trust != "internal"]
    if not local:
        return external, Reason.NO_LOCAL_TARGET
    if not external:
        only = policy.local_only is not None
        return local, Reason.LOCAL_ONLY if only else Reason.NO_EXTERNAL_TARGET
    side, reason = choose(terms, verdict)
    return (local + external if side == "local" else external + local), reason


def choose(terms: Terms, verdict: Verdict) -> tuple[Side, Reason]:
    """Return the side that is asked first, where both can answer, and why."""
    if terms.prefer is not None:
        return terms.prefer, Reason.RULE
    wanted = terms.preferred(verdict.intent)
    if wanted is not None:
        return wanted, Reason.INTENT
    if verdict.error is not None or verdict.confidence is None:
        return "api", Reason.CLASSIFIER_ERROR
    before = _before(terms, verdict.earlier)
    threshold = terms.at(verdict.intent)
    now: Side = "local" if verdict.confidence >= threshold else "api"
    near = abs(verdict.confidence - threshold) <= terms.hysteresis
    if before is not None and before != now and near:
        return before, Reason.CONVERSATION
    return now, Reason.CONFIDENT if now == "local" else Reason.NOT_CONFIDENT


def _before(terms: Terms, earlier: Sequence[Earlier]) -> Side | None:
    """Return the side that a conversation is on, recomputed from its own turns."""
    side: Side | None = None
    for turn in earlier:
        threshold = terms.at(turn.intent)
        if side == "local":
            threshold -= terms.hysteresis
        elif side == "api":
            threshold += terms.hysteresis
        side = "local" if turn.confidence >= threshold else "api"
    return side


def _side(target: Target, backends: Mapping[str, Backend]) -> Side:
    return "local" if backends[target.backend].trust == "internal" else "api"


def _one_way(
    side: Side, targets: Sequence[Target], backends: Mapping[str, Backend]
) -> list[Target]:
    return sorted(targets, key=lambda target: _side(target, backends) != side)


def _by_availability(
    preferred: Sequence[Target],
    reason: Reason,
    backends: Mapping[str, Backend],
    available: Callable[[str], bool],
) -> tuple[tuple[Target, ...], Reason]:
    """Move targets that are not available to the end; say so when that changes the side."""
    ready = [t for t in preferred if available(t.backend)]
    if not ready or len(ready) == len(preferred):
        return tuple(preferred), reason
    away = [t for t in preferred if t not in ready]
    wanted = backends[preferred[0].backend].trust
    if backends[ready[0].backend].trust != wanted:
        internal = wanted == "internal"
        reason = Reason.LOCAL_UNAVAILABLE if internal else Reason.EXTERNAL_UNAVAILABLE
    return (*ready, *away), reason


def _kept_inside(why: str) -> str:
    return f"this model is served outside the cluster, and nothing may leave it: {why}"


def _not_allowed(who: str, models: Sequence[str]) -> str:
    return (
        f"{who} lets only {', '.join(models)} answer, and the name asked for has no such model "
        "that can take this request"
    )


def _not_able(targets: Sequence[Target], needs: Needs) -> str:
    missing = sorted({lack for t in targets for lack in t.lacks} & needs.capabilities)
    return f"no model of this name does what the request needs: {', '.join(missing)}"


def _too_long(targets: Sequence[Target], needs: Needs) -> str:
    longest = max(t.max_context_tokens or 0 for t in targets)
    return (
        f"the longest context of this model is {longest} tokens; prompt and answer are estimated "
        f"at {needs.tokens}: shorten the prompt or ask for fewer tokens"
    )
