"""`hinf route` says what a router does, and what it would have to ask a running model."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from hybrid_operator.cli import offline
from hybrid_operator.cli.main import cli
from hybrid_router import table
from hybrid_router.classify.identity import identity
from tests.support.routers import router
from tests.support.upstreams import Upstream, answers

if TYPE_CHECKING:
    from pathlib import Path

EASY = "Translate 'good morning' to French"
EXTRACT = "Extract the invoice number as JSON: invoice 4711"
HARD = "Prove step by step that there are infinitely many primes, then design a sharded database."
CARD = "Charge 4111 1111 1111 1111 for jane@example.com"


PLAIN = "name: llama-3-8b"
TUNED = "name: support, catalog: llama-3-8b, source: {pvc: {claim: tuned}}"


def resource(routing: str = "{}", model: str = PLAIN) -> str:
    return dedent(f"""
        apiVersion: hybridinference.dev/v1alpha1
        kind: HybridInference
        metadata: {{name: support}}
        spec:
          models: [{{{model}, accelerator: {{type: a10g}}}}]
          providers: [{{name: openai, models: [{{name: gpt-4o}}]}}]
          routing: {routing}
    """)


def route(routing: str, *args: str, model: str = PLAIN) -> Result:
    return CliRunner().invoke(cli, ["route", "-f", "-", *args], input=resource(routing, model))


def answer(routing: str, *args: str, model: str = PLAIN) -> dict[str, Any]:
    done = route(routing, *args, "-o", "json", model=model)
    assert done.exit_code in {0, 1}, done.output
    said: dict[str, Any] = json.loads(done.output)
    return said


def said_by_router(headers: dict[str, str], status: int) -> dict[str, Any]:
    confidence = headers.get("x-hybrid-confidence")
    if status != 200:
        return {"decision": "refuse", "reason": headers["x-hybrid-reason"]}
    return {
        "decision": headers["x-hybrid-source"],
        "reason": headers["x-hybrid-reason"],
        "confidence": round(float(confidence), 3) if confidence else None,
        "intent": headers.get("x-hybrid-intent"),
        "rule": headers.get("x-hybrid-rule"),
        "shadowed": headers.get("x-hybrid-shadow"),
    }


SQL = "Write a SQL query that counts the orders of each customer in the table orders."


@pytest.mark.parametrize(
    ("routing", "prompt", "asked"),
    [
        pytest.param("{}", EASY, {}, id="easy"),
        pytest.param("{}", HARD, {}, id="hard"),
        pytest.param("{}", "", {}, id="nothing"),
        pytest.param("{quality: '0.95'}", EASY, {}, id="a quality"),
        pytest.param("{share: '0.4'}", EASY, {}, id="a share"),
        pytest.param("{shadow: local}", HARD, {}, id="shadow mode, local"),
        pytest.param("{shadow: api}", EASY, {}, id="shadow mode, the API"),
        pytest.param("{}", HARD, {"model": "llama-3-8b"}, id="a name of its own"),
        pytest.param("{classifier: {type: none}}", HARD, {}, id="nobody judges"),
        pytest.param(
            "{classifier: {type: none}, rules: [{name: paid, prefer: api}]}", EASY, {},
            id="nobody judges, and a rule names the side",
        ),
        pytest.param(
            "{rules: [{name: in, prefer: local}],"
            " intents: [{name: text-to-sql, models: [gpt-4o]}]}", SQL, {},
            id="a rule names the side of an intent that has its models",
        ),
        pytest.param(
            "{rules: [{name: all, threshold: '0'}]}", HARD, {}, id="a rule's threshold"
        ),
        pytest.param(
            "{rules: [{name: own, match: {aliases: [auto]}, models: [gpt-4o]}]}", EASY, {},
            id="a rule's models",
        ),
        pytest.param(
            "{classifier: {type: none}, rules: [{name: own, models: [gpt-4o]}]}", EASY, {},
            id="a rule's models, where nobody judges",
        ),
        pytest.param(
            "{rules: [{name: own, models: [gpt-4o]}]}", EASY, {"model": "llama-3-8b"},
            id="a name that a rule's models rule out",
        ),
        pytest.param("{intents: [{name: text-to-sql, prefer: api}]}", SQL, {}, id="an intent"),
        pytest.param("{dataPolicy: {keepLocal: [email]}}", CARD, {}, id="data that is kept"),
        pytest.param("{}", "word " * 9000, {}, id="too long for the local model"),
        pytest.param("{}", EASY, {"max_tokens": 100_000}, id="too long an answer for it"),
    ],
)  # fmt: skip
async def test_hinf_route_and_a_router_decide_alike(tmp_path, routing, prompt, asked):
    file, request = tmp_path / "resource.yaml", tmp_path / "request.json"
    file.write_text(resource(routing))
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]} | asked
    request.write_text(json.dumps(body))
    args = ["route", "-f", str(file), "--request", str(request), "-o", "json"]
    told = json.loads(CliRunner().invoke(cli, args).output)
    served = msgspec.to_builtins(offline.read(str(file))[0].table())
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        for backend in served["backends"].values():
            url = local.url if backend["trust"] == "internal" else api.url
            for name in ("service", "apiKey"):
                backend.pop(name, None)
            backend["urls"] = [url]
        async with router(served, classifies=True) as r:
            reply = await r.post("/v1/chat/completions", body)
    said = said_by_router(reply.headers, reply.status)
    assert {name: told[name] for name in said} == said


@pytest.mark.parametrize(
    ("routing", "prompt", "decision", "reason", "told"),
    [
        pytest.param(
            "{classifier: {type: slm}, quality: '0.95'}", EASY, "ask", "classifier-error",
            "llama-3-8b would be asked whether the prompt is simple", id="slm",
        ),
        pytest.param(
            "{classifier: {type: slm}, rules: [{name: in, prefer: local}]}", EASY, "local", "rule",
            "a rule of the policy names the side", id="slm, where a rule names the side",
        ),
        pytest.param(
            "{classifier: {type: cascade}}", HARD, "draft", "draft",
            "the local model drafts an answer", id="cascade",
        ),
        pytest.param(
            "{}", " ", "api", "classifier-error", "the request holds no text of the user: the API",
            id="nothing to judge",
        ),
        pytest.param(
            "{dataPolicy: {refuse: [payment-card]}}", CARD, "refuse", "refused",
            "the data policy refuses requests that hold payment-card", id="refused",
        ),
    ],
)  # fmt: skip
def test_the_reason_is_told_in_words(routing, prompt, decision, reason, told):
    said = answer(routing, prompt)
    assert (said["decision"], said["reason"]) == (decision, reason)
    assert told in said["why"]


@pytest.mark.parametrize(
    ("classifier", "shadowed"),
    [("embedded", "api"), ("slm", "ask"), ("cascade", "draft")],
)
def test_shadow_mode_shows_what_would_be_decided(classifier, shadowed):
    said = answer(f"{{shadow: local, classifier: {{type: {classifier}}}}}", HARD)
    assert (said["reason"], said["shadowed"]) == ("shadow", shadowed)


def test_the_data_policy_is_shown_with_what_it_does():
    policy = "{dataPolicy: {redact: [email], keepLocal: [payment-card]}}"
    text = route(policy, CARD).output
    assert "email: redact, payment-card: keep-local" in text
    assert answer(policy, CARD)["data_classes"] == {"email": "redact", "payment-card": "keep-local"}


def test_costs_are_plain_decimals():
    text = route("{}", "hi").output
    costs = [line.split()[1] for line in text.splitlines() if line.startswith("cost_local_usd")]
    assert costs
    assert costs[0].startswith("0.0000")


def offline_table() -> table.RouteTable:
    shown = CliRunner().invoke(cli, ["render", "table", "-f", "-"], input=resource())
    return table.decode(shown.stdout.encode())


def state(**fields: Any) -> table.Calibration:
    held = table.HeldOut(
        outcomes=9, log_loss_before=1, log_loss_after=1, brier_before=0, brier_after=0
    )
    name, model = identity(offline_table())
    maps = {"*": table.Map(offset=-3.0)}
    given = {"classifier": name, "model": model} | fields
    return table.Calibration(maps=maps, held_out=held, **given)


def by_state(tmp_path: Path, routing: str, given: table.Calibration) -> Result:
    (tmp_path / "state.json").write_bytes(table.encode_calibration(given))
    return route(routing, EASY, "--state", str(tmp_path / "state.json"), "-o", "json")


def test_a_calibration_state_decides_and_the_raw_score_is_shown(tmp_path):
    said = json.loads(by_state(tmp_path, "{}", state(served=("llama-3-8b",))).output)
    assert said["decision"] == "api"
    assert said["confidence"] < 0.7 < said["score"]
    assert answer("{}", EASY)["score"] is None


@pytest.mark.parametrize(
    ("routing", "given", "told"),
    [
        pytest.param(
            "{}", {"model": "othermodel"}, "is of another model of classifier embedded",
            id="another model",
        ),
        pytest.param(
            "{quality: '0.95'}", {"classifier": "cascade"},
            "is of classifier cascade, and the resource's is embedded", id="another classifier",
        ),
        pytest.param(
            "{}", {"served": ("qwen3-8b",)}, "judged for it are of qwen3-8b", id="others' answers"
        ),
    ],
)  # fmt: skip
def test_a_state_that_routers_do_not_take_is_refused(tmp_path, routing, given, told):
    done = by_state(tmp_path, routing, state(**given))
    assert (done.exit_code, told in done.output) == (2, True), done.output


def test_a_conversation_with_tools_is_explained_as_it_would_be_decided(tmp_path):
    turns = [{"role": "user", "content": EASY}, {"role": "assistant", "content": "4711"}]
    turns.append({"role": "user", "content": "and now prove that there are infinitely many primes"})
    tools = [{"type": "function", "function": {"name": "f"}}]
    (tmp_path / "r.json").write_text(json.dumps({"messages": turns, "tools": tools}))
    said = answer("{classifier: {type: cascade}}", "--request", str(tmp_path / "r.json"))
    assert said["decision"] != "draft"
    assert said["classifier"] == "embedded"


@pytest.mark.parametrize(
    ("surface", "body"),
    [
        ("completions", {"prompt": EASY}),
        ("responses", {"input": EASY}),
        ("messages", {"messages": [{"role": "user", "content": EASY}], "max_tokens": 9}),
    ],
)
def test_a_request_of_any_surface_is_explained(tmp_path, surface, body):
    (tmp_path / "r.json").write_text(json.dumps(body))
    args = ("--request", str(tmp_path / "r.json"), "--surface", surface)
    assert answer("{}", *args)["confidence"] == answer("{}", EASY)["confidence"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param((), "give either PROMPT or --request FILE", id="nothing"),
        pytest.param(("a", "--request", "b"), "give either PROMPT or --request", id="both"),
        pytest.param(("--request", "no-such.json"), "no-such.json: No such file", id="no file"),
        pytest.param(("x", "--header", "nothing"), "'nothing' is not NAME=VALUE", id="header"),
    ],
)
def test_bad_arguments_are_named(args, told):
    done = route("{}", *args)
    assert (done.exit_code, told in done.output) == (2, True), done.output


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param("{", "r.json: the body is not JSON", id="no JSON"),
        pytest.param("[1]", "r.json: the body must be a JSON object", id="a list"),
        pytest.param(
            '{"messages": [{"role": "user", "content": "\\ud800"}]}',
            "r.json: the body is not JSON",
            id="half of a character",
        ),
        pytest.param("{}", "`messages` is missing", id="no messages"),
        pytest.param('{"messages": [1]}', "`messages` is ill-typed", id="no message"),
    ],
)
def test_a_request_that_a_router_would_refuse_is_bad_input(tmp_path, body, told):
    (tmp_path / "r.json").write_text(body)
    done = route("{}", "--request", str(tmp_path / "r.json"))
    assert (done.exit_code, told in done.output) == (2, True), done.output


def test_a_state_of_another_local_model_is_refused(tmp_path):
    (tmp_path / "state.json").write_bytes(table.encode_calibration(state()))
    done = route("{}", EASY, "--state", str(tmp_path / "state.json"), model=TUNED)
    assert (done.exit_code, "or of other priors" in done.output) == (2, True), done.output


@pytest.mark.parametrize(
    ("model", "prompt", "decision", "told"),
    [
        pytest.param(PLAIN, EXTRACT, "api", "0.54 (llama-3-8b)", id="as published"),
        pytest.param(TUNED, EXTRACT, "local", "0.97 (llama-3-8b, fine-tuned)", id="fine-tuned"),
        pytest.param(
            "name: qwen3-4b", EXTRACT, "api",
            "0.77 (no figure of this model: mean of llama-3-8b, qwen2.5-coder-7b, phi-4)",
            id="unknown to the task table",
        ),
        pytest.param(
            PLAIN, EASY, "local", "0.87 (no figure of this task: judgement)",
            id="a task that the table does not name",
        ),
        pytest.param(PLAIN, HARD, "api", None, id="an intent fitted to labels"),
    ],
)  # fmt: skip
def test_what_was_presumed_of_the_local_model_is_said_with_whose_figure_it_is(
    model, prompt, decision, told
):
    said = answer("{}", prompt, model=model)
    assert (said["decision"], said["prior"]) == (decision, told)
