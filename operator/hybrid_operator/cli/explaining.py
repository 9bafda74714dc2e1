"""What a router would do with a request, told in fields: the router's own code decides.

Every backend counts as available. What a running model would have to be asked for is said to be
asked: a draft (`cascade`), or whether the prompt is simple (`slm`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.cli.main import BadInputError
from hybrid_router.calibrating import calibrated, cut
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.identity import identity
from hybrid_router.core.datapolicy import NOTHING, Ruling
from hybrid_router.core.decision import REASONS, Decision, Reason, Refused, Verdict
from hybrid_router.core.terms import Asked, Terms, terms
from hybrid_router.datapolicy.document import RepeatedNameError
from hybrid_router.datapolicy.gate import build
from hybrid_router.deciding import order, prompt
from hybrid_router.openai.errors import ApiError
from hybrid_router.responses.request import ResponsesCall

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hybrid_router.openai.request import Call
    from hybrid_router.table import Calibration, Model, Policy, RouteTable

ANSWER_TOKENS = 300
"""Assumed for the cost on both sides, where the request asks for no shorter answer."""
_ASKED = "a running model would be asked"


class _Judge:
    """Judges as a router does all of whose replicas take requests; a `deciding.Judge`.

    Attributes:
        asks: the decision rests on what a running model would say.
        error: why the embedded classifier has no verdict.
    """

    def __init__(self, policy: Policy) -> None:
        self._type = policy.classifier.type
        self._state = policy.calibration
        self._cut = cut(self._type, self._state)
        self.asks = False
        self.error: str | None = None

    def threshold(self, policy: Policy) -> float:
        """Return the confidence from which the local model is asked first."""
        return self._cut.threshold(policy)

    def invites(self, backend: str) -> bool:
        """Return that the backend would take a request."""
        del backend
        return True

    async def judge(self, model: Model, call: Call, asker: str) -> Verdict | None:
        """Return the embedded classifier's verdict; of `slm`, the intent that it would have."""
        del asker
        if self._type == "none":
            return None
        verdict = EmbeddedClassifier().judge(prompt(call), model.priors)
        self.error = verdict.error
        if self._type == "slm" and verdict.error is None:
            self.asks = True
            return Verdict(None, verdict.intent, "slm", _ASKED)
        return calibrated(verdict, self._type, self._state)


def check_state(state: Calibration, routes: RouteTable) -> None:
    """Check that routers of this table would decide by a calibration state.

    Raises:
        BadInputError: they would not; says why.
    """
    name, model = identity(routes)
    again = "fit it again from new decisions, or leave --state out"
    if state.classifier != name:
        raise BadInputError(
            f"--state: is of classifier {state.classifier}, and the resource's is {name}: {again}"
        )
    if state.model != model:
        raise BadInputError(
            f"--state: is of another model of classifier {name} than the routers have, or of "
            f"other priors ({state.model}, they have {model}): {again}"
        )
    backends = routes.backends
    served = {
        target.model
        for entry in routes.models.values()
        for target in entry.targets
        if backends[target.backend].trust == "internal"
    }
    if state.served and served.isdisjoint(state.served):
        raise BadInputError(
            f"--state: the answers judged for it are of {', '.join(state.served)}, and none of "
            f"these is a model of the resource: {again}"
        )


def explain(routes: RouteTable, call: Call, asked: Asked) -> dict[str, Any]:
    """Return who would answer, and why: the stable fields in their order, None where unknown.

    Raises:
        BadInputError: nobody serves the name, or the request is at fault.
    """
    entry = routes.models.get(call.model)
    if entry is None:
        known = ", ".join(sorted(routes.models))
        raise BadInputError(f"--model: nobody serves {call.model!r}; there are {known}")
    if isinstance(call, ResponsesCall) and len(entry.targets) > 1:
        call.share()
    judge = _Judge(routes.policy)
    found = terms(routes.policy, asked, judge.threshold(routes.policy))
    ruling = _ruling(routes, call)
    if ruling.refused:
        why = f"the data policy refuses requests that hold {', '.join(ruling.refused)}"
        return _refusal(why, found, ruling)
    try:
        decision = _at_once(order(routes, entry, call, asked, ruling.kept, judge))
    except Refused as refused:
        return _refusal(refused.message, found, ruling)
    except ApiError as error:
        raise BadInputError(f"the request is at fault: {error}") from None
    return _decided(routes, call, decision, found, judge) | _classes(ruling)


def _at_once(deciding: Coroutine[object, None, Decision]) -> Decision:
    """Return what a coroutine returns that waits for nothing, without an event loop's imports."""
    try:
        deciding.send(None)
    except StopIteration as done:
        decision: Decision = done.value
        return decision
    raise RuntimeError("a judge without a network waited for something")


def _ruling(routes: RouteTable, call: Call) -> Ruling:
    policy = routes.policy.data
    try:
        return NOTHING if policy is None else build(policy).judge(call.body).ruling
    except RepeatedNameError as error:
        raise BadInputError(f"the request is at fault: {error}") from None


def _refusal(why: str, found: Terms, ruling: Ruling) -> dict[str, Any]:
    said = _fields(decision="refuse", rule=found.rule, reason=Reason.REFUSED.value, why=why)
    return said | _classes(ruling)


def _classes(ruling: Ruling) -> dict[str, Any]:
    return {"data_classes": {name: action.value for name, action in ruling.classes}}


def _decided(
    routes: RouteTable, call: Call, made: Decision, found: Terms, judge: _Judge
) -> dict[str, Any]:
    first = made.targets[0]
    side = "local" if routes.backends[first.backend].trust == "internal" else "api"
    waits = "draft" if made.draft is not None else "ask" if judge.asks else None
    shadow = made.reason is Reason.SHADOW
    rests = made.draft is not None or made.reason is Reason.CLASSIFIER_ERROR
    model, entry = first.model, routes.models[call.model]
    tokens = (call.prompt_tokens, min(ANSWER_TOKENS, call.limit or ANSWER_TOKENS))
    draft = made.draft.tokens if made.draft is not None else None
    return _fields(
        decision=waits if waits is not None and rests else side,
        model=model,
        confidence=_rounded(made.confidence, 3),
        score=_rounded(made.score, 3),
        intent=made.intent,
        threshold=_rounded(found.at(made.intent), 4),
        rule=made.rule,
        reason=made.reason.value,
        why=_why(routes, made, judge),
        shadowed=(waits or made.shadowed) if shadow else None,
        classifier=made.classifier,
        cost_local_usd=_cost(routes, entry, "internal", tokens),
        cost_api_usd=_cost(routes, entry, "external", tokens),
        draft_tokens=draft,
        cost_draft_usd=_cost(routes, entry, "internal", (tokens[0], draft)) if draft else None,
    )


def _why(routes: RouteTable, made: Decision, judge: _Judge) -> str:
    if made.reason is Reason.CLASSIFIER_ERROR and judge.asks:
        target = routes.policy.classifier.target
        name = target.model if target is not None else "a local model"
        return (
            f"{name} would be asked whether the prompt is simple: local where its confidence "
            "reaches the threshold. The embedded classifier's says nothing of it"
        )
    if made.reason is Reason.CLASSIFIER_ERROR and judge.error is not None:
        return f"{judge.error}: the API"
    return REASONS[made.reason]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _cost(routes: RouteTable, entry: Model, trust: str, tokens: tuple[int, int]) -> float | None:
    """Return what the first target of a side asks for tokens of prompt and answer, in USD."""
    for target in entry.targets:
        backend = routes.backends[target.backend]
        if backend.trust == trust:
            price = backend.prices.get(target.model)
            if price is None:
                return None
            return round((tokens[0] * price.input + tokens[1] * price.output) / 1e6, 8)
    return None


def _fields(**known: object) -> dict[str, Any]:
    return {
        name: known.get(name)
        for name in (
            "decision", "model", "confidence", "score", "intent", "prior", "threshold", "rule",
            "reason", "why", "shadowed", "classifier", "cost_local_usd", "cost_api_usd",
            "draft_tokens", "cost_draft_usd",
        )
    }  # fmt: skip
