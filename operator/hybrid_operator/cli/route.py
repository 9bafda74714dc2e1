"""`hinf route`: who would answer a prompt, and why."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli import offline
from hybrid_operator.cli.main import EXIT_NO, BadInputError, file_option, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.prompt import Prompt
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
from hybrid_router.datapolicy.gate import build

if TYPE_CHECKING:
    from hybrid_router.table import Model, RouteTable, Target

BYTES_PER_TOKEN = 4
"""For English text and the tokenizers in use; only for the check against the context length."""


@click.command()
@click.argument("prompt")
@file_option
@click.option("--model", default="auto", show_default=True, help="What the client would ask for.")
@output_option
def route(prompt: str, path: str, model: str, output: str) -> None:
    """Show who would answer PROMPT (- reads standard input), and why.

    Every backend counts as available. The classifier is the embedded one, also where the resource
    names another: that one needs a running model. Exit status 1: the request would be refused.
    """
    text = sys.stdin.read() if prompt == "-" else prompt
    resource = offline.read(path)[0]
    answer = _explain(resource.table(), model, text)
    rows = [(key, "-" if value in (None, []) else value) for key, value in answer.items()]
    emit(answer, output, table(("", ""), rows).lstrip("\n"))
    if answer["decision"] == "refuse":
        raise click.exceptions.Exit(EXIT_NO)


def _explain(routes: RouteTable, name: str, text: str) -> dict[str, Any]:
    entry = routes.models.get(name)
    if entry is None:
        known = ", ".join(sorted(routes.models))
        raise BadInputError(f"--model: nobody serves {name!r}; there are {known}")
    ruling = _ruling(routes, text)
    if ruling.refused:
        why = f"the data policy refuses {', '.join(ruling.refused)}"
        return _answer("refuse", routes, reason=why, classes=ruling.names)
    try:
        needs = Needs(tokens=len(text.encode()) // BYTES_PER_TOKEN)
        targets = candidates(routes, entry, needs, ruling.kept)
        verdict = _verdict(routes, entry, targets, text)
        decision = decide(routes.policy, targets, routes.backends, verdict, lambda _: True)
    except Refused as refused:
        return _answer("refuse", routes, reason=refused.message, classes=ruling.names)
    if ruling.kept is not None:
        decision = replace(decision, reason=Reason.DATA_POLICY)
    return _decided(routes, decision, verdict) | {"data_classes": list(ruling.names)}


def _ruling(routes: RouteTable, text: str) -> Ruling:
    policy = routes.policy.data
    if policy is None:
        return NOTHING
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    return build(policy).judge(body).ruling


def _verdict(
    routes: RouteTable, entry: Model, targets: tuple[Target, ...], text: str
) -> Verdict | None:
    if not entry.classified or routes.policy.classifier.type == "none":
        return None
    if not worth_judging(entry, targets, routes.backends):
        return NOT_JUDGED
    return EmbeddedClassifier().judge(Prompt.from_text(text))


def _decided(routes: RouteTable, decision: Decision, verdict: Verdict | None) -> dict[str, Any]:
    first = decision.targets[0]
    internal = routes.backends[first.backend].trust == "internal"
    return _answer(
        "local" if internal else "api",
        routes,
        model=first.model,
        confidence=decision.confidence,
        intent=decision.intent,
        reason=decision.reason.value,
        classifier=verdict.classifier if verdict else None,
    )


def _answer(
    decision: str, routes: RouteTable, classes: tuple[str, ...] = (), **known: object
) -> dict[str, Any]:
    """Return the stable fields in their order, what is not known as None."""
    confidence = known.get("confidence")
    return {
        "decision": decision,
        "model": known.get("model"),
        "confidence": round(confidence, 3) if isinstance(confidence, float) else None,
        "intent": known.get("intent"),
        "threshold": routes.policy.threshold,
        "rule": None,
        "reason": known["reason"],
        "classifier": known.get("classifier"),
        "cost_local_usd": None,
        "cost_api_usd": None,
        "data_classes": list(classes),
    }
