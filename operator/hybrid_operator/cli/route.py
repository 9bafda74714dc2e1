"""`hinf route`: who would answer a prompt, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from hybrid_operator.cli import costs, offline, texts
from hybrid_operator.cli.main import EXIT_NO, BadInputError, file_option, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.cli.states import STATE, read_state
from hybrid_operator.core.table import local_backend
from hybrid_router.classify.cut import Cut
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.parameters import Point
from hybrid_router.classify.prompt import Prompt
from hybrid_router.core import cascade
from hybrid_router.core.calibration import correct
from hybrid_router.core.datapolicy import NOTHING, Ruling
from hybrid_router.core.decision import (
    NOT_JUDGED,
    Decision,
    Needs,
    Reason,
    Refused,
    Verdict,
    candidates,
    decide,
    worth_judging,
)
from hybrid_router.core.terms import Asked, Terms, terms
from hybrid_router.datapolicy.gate import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.table import Model, RouteTable, Target

BYTES_PER_TOKEN = 4
"""For English text and the tokenizers in use."""
ANSWER_TOKENS = 300
"""Assumed for the cost on both sides."""


@click.command()
@click.argument("prompt")
@file_option
@click.option("--model", default="auto", show_default=True, help="What the client would ask for.")
@click.option("--key", help="Id of the client's key, for rules on keys.")
@click.option("--header", "headers", multiple=True, help="NAME=VALUE, for rules on headers.")
@click.option("--state", type=STATE, help="Calibration state, as hinf classifier fit writes it.")
@output_option
def route(prompt: str, path: str, model: str, output: str, **given: Any) -> None:  # noqa: ANN401  click's options
    """Show who would answer PROMPT (- reads standard input), and why.

    Every backend counts as available. The classifier is the embedded one, also where the resource
    names another: that one needs a running model. With a cascade the decision is `draft` where the
    local model begins to answer: at the threshold or above the client gets its answer, below it the
    API's, and cost_draft_usd is then spent in vain. The local cost is what the request takes of a
    busy GPU's hour; `hinf tco` counts idle hours, too. Exit status 1: it would be refused.
    """
    text = texts.read(prompt) if prompt == texts.STDIN else texts.argument(prompt, "PROMPT")
    resource = offline.read(path)[0]
    tokens = len(text.encode()) // BYTES_PER_TOKEN
    asked = Asked(model, given["key"], tokens, _headers(given["headers"]))
    routes = resource.table()
    if given["state"] is not None:
        policy = structs.replace(routes.policy, calibration=read_state(given["state"]))
        routes = structs.replace(routes, policy=policy)
    answer = _explain(routes, asked, [{"role": "user", "content": text}])
    if answer["cost_local_usd"] is None and answer["decision"] != "refuse":
        answer["cost_local_usd"] = _local_cost(resource, model, (tokens, ANSWER_TOKENS))
    if answer["cost_draft_usd"] is None and answer["draft_tokens"] is not None:
        answer["cost_draft_usd"] = _local_cost(resource, model, (tokens, answer["draft_tokens"]))
    rows = [(name, "-" if value in (None, []) else value) for name, value in answer.items()]
    emit(answer, output, table(("", ""), rows).lstrip("\n"))
    if answer["decision"] == "refuse":
        raise click.exceptions.Exit(EXIT_NO)


def _local_cost(resource: offline.Resource, alias: str, tokens: tuple[int, int]) -> float | None:
    """Return what prompt and answer cost on a busy GPU of the alias' first model, in USD."""
    targets = resource.table().models[alias].targets
    fits = zip(resource.spec.models, resource.desired().fits, strict=False)
    known = {local_backend(model.name): (model, fit) for model, fit in fits}
    found = next((known[t.backend] for t in targets if t.backend in known), None)
    usd = costs.request_usd(*found, *tokens) if found is not None else None
    return None if usd is None else round(usd, 8)


def _headers(stated: Sequence[str]) -> dict[bytes, bytes]:
    found = {}
    for each in stated:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadInputError(f"--header: {each!r} is not NAME=VALUE")
        found[name.strip().lower().encode()] = value.strip().encode()
    return found


def _explain(routes: RouteTable, asked: Asked, messages: list[dict[str, str]]) -> dict[str, Any]:
    entry = routes.models.get(asked.alias)
    if entry is None:
        known = ", ".join(sorted(routes.models))
        raise BadInputError(f"--model: nobody serves {asked.alias!r}; there are {known}")
    classifier, prompt = EmbeddedClassifier(), Prompt.from_messages(messages)
    state = routes.policy.calibration
    curve = [Point(s.threshold, s.quality, s.local) for s in state.curve] if state else []
    shipped = classifier.model.curve if routes.policy.classifier.type == "embedded" else ()
    cut = Cut(curve or shipped)
    found = terms(routes.policy, asked, cut.threshold(routes.policy))
    ruling = _ruling(routes, messages)
    classes = {"data_classes": list(ruling.names)}
    if ruling.refused:
        why = f"the data policy refuses {', '.join(ruling.refused)}"
        return _answer("refuse", found.threshold, reason=why) | classes
    try:
        targets = candidates(routes, entry, Needs(tokens=asked.tokens), ruling.kept)
        policy, backends = routes.policy, routes.backends
        verdict = _verdict(routes, entry, targets, (classifier, prompt), found)
        decision = decide(policy, targets, backends, verdict, lambda _: True, found)
        if policy.classifier.type == cascade.NAME:
            decision = cascade.drafted(decision, policy, backends, found, lambda _: True)
    except Refused as refused:
        reason, rule = refused.message, found.rule
        return _answer("refuse", found.threshold, reason=reason, rule=rule) | classes
    if ruling.kept is not None:
        decision = structs.replace(decision, reason=Reason.DATA_POLICY)
    return _decided(routes, entry, decision, found, asked.tokens) | classes


def _ruling(routes: RouteTable, messages: list[dict[str, str]]) -> Ruling:
    policy = routes.policy.data
    if policy is None:
        return NOTHING
    return build(policy).judge(json.dumps({"messages": messages}).encode()).ruling


def _verdict(
    routes: RouteTable,
    entry: Model,
    targets: tuple[Target, ...],
    judge: tuple[EmbeddedClassifier, Prompt],
    found: Terms,
) -> Verdict | None:
    if not entry.classified:
        return None
    if not worth_judging(entry, targets, routes.backends):
        return NOT_JUDGED
    if routes.policy.classifier.type == "none":
        return NOT_JUDGED if found.prefer is not None else None
    classifier, prompt = judge
    verdict, state = classifier.judge(prompt), routes.policy.calibration
    fits = state is not None and state.classifier == verdict.classifier
    return correct(state.maps, verdict) if state is not None and fits else verdict


def _decided(
    routes: RouteTable, entry: Model, decision: Decision, found: Terms, tokens: int
) -> dict[str, Any]:
    first = decision.targets[0]
    internal = routes.backends[first.backend].trust == "internal"
    side = "local" if internal else "api"
    draft = decision.draft
    return _answer(
        "draft" if draft is not None else side,
        decision.threshold if decision.threshold is not None else found.threshold,
        model=first.model,
        confidence=decision.confidence,
        intent=decision.intent,
        rule=decision.rule,
        reason=decision.reason.value,
        classifier=decision.classifier,
        cost_local_usd=_cost(routes, entry, "internal", (tokens, ANSWER_TOKENS)),
        cost_api_usd=_cost(routes, entry, "external", (tokens, ANSWER_TOKENS)),
        draft_tokens=draft.tokens if draft is not None else None,
        cost_draft_usd=_cost(routes, entry, "internal", (tokens, draft.tokens)) if draft else None,
    )


def _cost(routes: RouteTable, entry: Model, trust: str, tokens: tuple[int, int]) -> float | None:
    """Return what the first target of a side asks for tokens of prompt and answer, in USD."""
    for target in entry.targets:
        backend = routes.backends[target.backend]
        if backend.trust == trust:
            price = backend.prices.get(target.model)
            if price is None:
                return None
            usd = (tokens[0] * price.input + tokens[1] * price.output) / 1e6
            return round(usd, 8)
    return None


def _answer(decision: str, threshold: float, **known: object) -> dict[str, Any]:
    """Return the stable fields in their order, what is not known as None."""
    confidence = known.get("confidence")
    return {
        "decision": decision,
        "model": known.get("model"),
        "confidence": round(confidence, 3) if isinstance(confidence, float) else None,
        "intent": known.get("intent"),
        "threshold": round(threshold, 4),
        "rule": known.get("rule"),
        "reason": known["reason"],
        "classifier": known.get("classifier"),
        "cost_local_usd": known.get("cost_local_usd"),
        "cost_api_usd": known.get("cost_api_usd"),
        "draft_tokens": known.get("draft_tokens"),
        "cost_draft_usd": known.get("cost_draft_usd"),
        "data_classes": [],
    }
