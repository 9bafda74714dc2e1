"""Where a request goes: which targets may answer it, in which order, and why.

Two steps, both pure. `candidates` removes what must not or cannot answer: the data policy first,
then capabilities, then context length. `decide` orders what is left. Availability changes the order
only: it never brings back what the policy removed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hybrid_router.table import Backend, Capability, Model, Policy, RouteTable, Target


DOUBT = 2.0
"""An estimate of tokens may be that many times too high: long words, white space, figures."""


class Reason(enum.StrEnum):
    """Why a request went where it went: `x-hybrid-reason` and the label `reason`; a closed set."""

    EXPLICIT = "explicit"
    ORDERED = "ordered"
    CONFIDENT = "confident"
    NOT_CONFIDENT = "not-confident"
    CLASSIFIER_ERROR = "classifier-error"
    LOCAL_ONLY = "local-only"
    DATA_POLICY = "data-policy"
    NO_LOCAL_TARGET = "no-local-target"
    NO_EXTERNAL_TARGET = "no-external-target"
    LOCAL_UNAVAILABLE = "local-unavailable"
    EXTERNAL_UNAVAILABLE = "external-unavailable"
    LOCAL_FAILED = "local-failed"
    EXTERNAL_FAILED = "external-failed"
    REFUSED = "refused"


REASONS: Mapping[Reason, str] = {
    Reason.EXPLICIT: "the client named one model, and that model answers",
    Reason.ORDERED: "the name stands for a list of models that is taken in its order",
    Reason.CONFIDENT: "the classifier's confidence reaches the threshold: local",
    Reason.NOT_CONFIDENT: "the classifier's confidence is below the threshold: the API",
    Reason.CLASSIFIER_ERROR: "the classifier gave no verdict: the API",
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


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a model."""

    tokens: int
    """Estimated tokens of the prompt and the longest answer asked for."""
    capabilities: frozenset[Capability] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A classifier's judgement of one prompt."""

    confidence: float | None
    """That the local model is good enough, in [0, 1]; None without a judgement."""
    intent: str | None
    """What kind of task it is, from the classifier's closed set."""
    classifier: str
    """Who judged, and how far to trust it (`embedded-uncalibrated`)."""
    error: str | None = None
    """Why there is no confidence, when there should be one."""


NOT_JUDGED = Verdict(confidence=None, intent=None, classifier="none")
"""For a classified alias with one side only, where no judgement could matter: see `worth_judging`.

Where both sides are there and nobody judges (classifier `none`), the verdict is None instead: the
targets' own order stands.
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """The targets in the order in which they are tried, and why the first one is the first."""

    targets: tuple[Target, ...]
    reason: Reason
    confidence: float | None = None
    intent: str | None = None
    classifier: str | None = None
    """Who judged (`Verdict.classifier`); None if nobody was asked."""


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
) -> Decision:
    """Order `targets` for the attempts.

    Args:
        policy: brings the threshold.
        targets: what `candidates` left.
        backends: of the table.
        verdict: None for a name that is not classified and where nobody judges.
        available: whether a backend, by its name, would take a request now.

    Raises:
        Refused: `targets` is empty.
    """
    if policy.local_only is not None:  # again: a caller that skipped `candidates` leaks nothing
        targets = [t for t in targets if backends[t.backend].trust == "internal"]
    if not targets:
        raise Refused(503, "no_backend", "no backend serves this model at the moment")
    preferred, reason = _prefer(policy, targets, backends, verdict)
    order, reason = _by_availability(preferred, reason, backends, available)
    if verdict is None:
        return Decision(order, reason)
    return Decision(order, reason, verdict.confidence, verdict.intent, verdict.classifier)


def after_failure(failed: Backend) -> Reason:
    """Return the reason of an answer that came from elsewhere after an attempt at `failed`."""
    return Reason.LOCAL_FAILED if failed.trust == "internal" else Reason.EXTERNAL_FAILED


def _prefer(
    policy: Policy,
    targets: Sequence[Target],
    backends: Mapping[str, Backend],
    verdict: Verdict | None,
) -> tuple[Sequence[Target], Reason]:
    """Return the targets in the order that policy and verdict ask for, and the reason."""
    if verdict is None:
        return targets, Reason.EXPLICIT if len(targets) == 1 else Reason.ORDERED
    local = [t for t in targets if backends[t.backend].trust == "internal"]
    external = [t for t in targets if backends[t.backend].trust != "internal"]
    if not local:
        return external, Reason.NO_LOCAL_TARGET
    if not external:
        only = policy.local_only is not None
        return local, Reason.LOCAL_ONLY if only else Reason.NO_EXTERNAL_TARGET
    return _judge(policy.threshold, local, external, verdict)


def _judge(
    threshold: float, local: list[Target], external: list[Target], verdict: Verdict
) -> tuple[list[Target], Reason]:
    if verdict.error is not None or verdict.confidence is None:
        return external + local, Reason.CLASSIFIER_ERROR
    if verdict.confidence >= threshold:
        return local + external, Reason.CONFIDENT
    return external + local, Reason.NOT_CONFIDENT


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


def _not_able(targets: Sequence[Target], needs: Needs) -> str:
    missing = sorted({lack for t in targets for lack in t.lacks} & needs.capabilities)
    return f"no model of this name does what the request needs: {', '.join(missing)}"


def _too_long(targets: Sequence[Target], needs: Needs) -> str:
    longest = max(t.max_context_tokens or 0 for t in targets)
    return (
        f"the longest context of this model is {longest} tokens; prompt and answer are estimated "
        f"at {needs.tokens}: shorten the prompt or ask for fewer tokens"
    )
