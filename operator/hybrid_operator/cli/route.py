"""`hinf route`: who would answer a prompt, and why."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hybrid_operator.cli import costs, offline, texts
from hybrid_operator.cli.explaining import ANSWER_TOKENS, check_state, explain
from hybrid_operator.cli.main import (
    EXIT_NO,
    BadInputError,
    FileCommand,
    file_option,
    name_option,
    output_option,
)
from hybrid_operator.cli.output import emit, table
from hybrid_operator.cli.states import STATE, read_state
from hybrid_operator.core import naming
from hybrid_operator.core.engine import priors
from hybrid_operator.core.table import aliases
from hybrid_router.anthropic.request import parse_messages
from hybrid_router.classify.parameters import shipped
from hybrid_router.deciding import looked_at
from hybrid_router.openai.body import take_apart
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import parse
from hybrid_router.responses.request import parse_responses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hybrid_router.openai.request import Call

AUTO = "auto"
_SURFACES: Mapping[str, Callable[[bytes], Call]] = {
    "chat": partial(parse, "chat"),
    "completions": partial(parse, "completions"),
    "responses": parse_responses,
    "messages": partial(parse_messages, "messages"),
}
"""What reads the body of a request, by the path that it is sent to."""


@click.command(cls=FileCommand)
@click.argument("prompt", required=False)
@file_option
@name_option
@click.option("--model", help="What the client would ask for; default: the request's, or auto.")
@click.option("--key", help="Id of the client's key, for rules on keys.")
@click.option("--header", "headers", multiple=True, help="NAME=VALUE, for rules on headers.")
@click.option("--state", type=STATE, help="Calibration state, as hinf classifier fit writes it.")
@click.option("--request", metavar="FILE", help="Body of a request in JSON, instead of PROMPT.")
@click.option(
    "--surface", type=click.Choice(list(_SURFACES)), default="chat", show_default=True,
    help="Of --request: /v1/chat/completions, /v1/messages ...",
)  # fmt: skip
@output_option
def route(path: str, output: str, **given: Any) -> None:  # noqa: ANN401  click's options
    """Show who would answer PROMPT (- reads standard input), and why.

    The router's own code decides; every backend counts as available. --request takes a whole
    conversation with its tools, images and max_tokens. With a cascade the decision is `draft` where
    the local model begins to answer: at the threshold or above the client gets its answer, below it
    the API's, and cost_draft_usd is then spent in vain. With classifier slm it is `ask`: that needs
    a running model. The local cost is what the request takes of a busy GPU's hour; `hinf tco`
    counts idle hours, too. Exit status 1: it would be refused.
    """
    resource = offline.one(path, given["name"])
    call = _call(given["prompt"], given["request"], given["surface"], given["model"])
    routes = resource.table()
    if given["state"] is not None:
        state = read_state(given["state"])
        check_state(state, routes)
        policy = msgspec.structs.replace(routes.policy, calibration=state)
        routes = msgspec.structs.replace(routes, policy=policy)
    asked = looked_at(routes.policy, call, given["key"], _headers(given["headers"]))
    answer = explain(routes, call, asked)
    if given["state"] is None:
        answer["score"] = None
    answer["prior"] = _prior(answer, resource, call.model)
    _price(answer, resource, call)
    refused = answer["decision"] == "refuse"
    step = "" if refused else offline.next_step(path, [resource])
    emit(answer, output, f"{_page(answer)}\n\n{step}".rstrip())
    if refused:
        raise click.exceptions.Exit(EXIT_NO)


def _call(prompt: str | None, file: str | None, surface: str, model: str | None) -> Call:
    if (prompt is None) == (file is None):
        raise BadInputError("give either PROMPT or --request FILE (- reads standard input)")
    if file is None:
        where, surface = "PROMPT", "chat"
        given = prompt or ""
        text = texts.read(given) if given == texts.STDIN else texts.argument(given, where)
        body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False)
    else:
        where, body = file, texts.read(file)
    try:
        return _SURFACES[surface](_named(body.encode(), model))
    except ApiError as error:
        raise BadInputError(f"{where}: {error}") from None


def _named(body: bytes, model: str | None) -> bytes:
    """Return a request's body with the model that is asked for; all other values stay as written.

    Raises:
        ApiError: it is no object in JSON.
    """
    fields = take_apart(body)
    if model is None and "model" in fields:
        return body
    name = AUTO if model is None else texts.argument(model, "--model")
    return msgspec.json.encode({**fields, "model": name})


def _headers(stated: Sequence[str]) -> dict[bytes, bytes]:
    found = {}
    for each in stated:
        name, equals, value = texts.argument(each, "--header").partition("=")
        if not equals:
            raise BadInputError(f"--header: {each!r} is not NAME=VALUE")
        found[name.strip().lower().encode()] = value.strip().encode()
    return found


def _prior(answer: dict[str, Any], resource: offline.Resource, alias: str) -> str | None:
    """Return what was presumed of the local model at such tasks, and whose figure that is."""
    if answer["classifier"] != "embedded" or answer["confidence"] is None:
        return None
    stated = next(each for each in aliases(resource.spec) if each.name == alias)
    found = priors.of_alias(resource.spec, stated).get(answer["intent"])
    if found is not None:
        return f"{found.probability:.2f} ({found.of})"
    known = shipped().priors.get(answer["intent"])
    return None if known is None else f"{known:.2f} (no figure of this task: judgement)"


def _price(answer: dict[str, Any], resource: offline.Resource, call: Call) -> None:
    """Fill in what the local model costs where the table holds no price of it."""
    tokens = (call.prompt_tokens, min(ANSWER_TOKENS, call.limit or ANSWER_TOKENS))
    if answer["cost_local_usd"] is None and answer["decision"] != "refuse":
        answer["cost_local_usd"] = _local_cost(resource, call.model, tokens)
    if answer["cost_draft_usd"] is None and answer["draft_tokens"] is not None:
        drafted = (tokens[0], answer["draft_tokens"])
        answer["cost_draft_usd"] = _local_cost(resource, call.model, drafted)


def _local_cost(resource: offline.Resource, alias: str, tokens: tuple[int, int]) -> float | None:
    """Return what prompt and answer cost on a busy GPU of the alias' first model, in USD."""
    targets = resource.table().models[alias].targets
    fits = zip(resource.spec.models, resource.desired().fits, strict=False)
    known = {naming.local_backend(model.name): (model, fit) for model, fit in fits}
    found = next((known[t.backend] for t in targets if t.backend in known), None)
    usd = costs.request_usd(*found, *tokens) if found is not None else None
    return None if usd is None else round(usd, 8)


def _page(answer: dict[str, Any]) -> str:
    rows = [(name, _shown(name, value)) for name, value in answer.items()]
    return table(("", ""), rows).lstrip("\n")


def _shown(name: str, value: Any) -> str:  # noqa: ANN401  any JSON value
    if value in (None, {}):
        return "-"
    if name.endswith("_usd"):
        return f"{value:.8f}".rstrip("0").rstrip(".")
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return str(value)
