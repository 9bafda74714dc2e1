"""`hinf` as a person uses it: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import COMMANDS, cli
from hybrid_operator.cli.output import WIDTH
from hybrid_operator.cli.output import table as as_table
from hybrid_router import table

EXAMPLES = Path(__file__).parents[3] / "examples"
MINIMAL = str(EXAMPLES / "minimal.yaml")
FULL = str(EXAMPLES / "full.yaml")
DEMO = str(EXAMPLES / "demo-cpu.yaml")
EASY = "Translate 'good morning' to French"
HARD = "Prove step by step that there are infinitely many primes, then design a sharded database."


def hinf(*args: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, args, input=given, prog_name="hinf")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = hinf(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: hinf {command} ")


def test_a_mistyped_command_names_the_nearest():
    result = hinf("rute")
    assert result.exit_code == 2
    assert "hinf has no command 'rute'; did you mean route?" in result.output


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("gpus",), id="gpus"),
        pytest.param(("models",), id="models"),
        pytest.param(("plan", "-f", FULL), id="plan"),
        pytest.param(("route", "-f", FULL, EASY), id="route"),
    ],
)
def test_a_table_fits_the_terminal(args):
    lines = hinf(*args).output.splitlines()
    assert lines
    assert max(map(len, lines)) <= WIDTH


def test_a_long_last_cell_is_wrapped_below_itself():
    text = as_table(("A", "B"), [("x", "word " * 40)])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.splitlines()[2].startswith("   word")


def test_an_address_that_is_longer_than_its_column_breaks_behind_a_slash():
    path = f"https://{'a' * 40}.example/{'b' * 30}/{'c' * 50}"
    lines = [line.split()[-1] for line in as_table(("A", "B"), [("x" * 30, path)]).splitlines()[1:]]
    assert "".join(lines) == path
    assert all(line.endswith("/") for line in lines[:-1])


def test_models_tells_which_ask_for_a_token_and_keeps_names_whole():
    lines = hinf("models").output.splitlines()
    assert next(line for line in lines if line.startswith("llama-3-8b ")).split()[-2] == "gated"
    assert "Meta-Llama-3-8B-Instruct" in "".join(lines)
    assert "gated" not in next(line for line in lines if line.startswith("qwen3-4b "))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_table_of_every_example_can_be_served(example):
    result = hinf("render", "table", "-f", str(example))
    assert result.exit_code == 0, result.output
    assert "auto" in table.decode(result.output.encode()).models


def test_manifests_can_be_applied_by_hand_for_they_name_no_owner_without_uid():
    manifests = list(yaml.safe_load_all(hinf("render", "-f", MINIMAL).output))
    assert {"Deployment", "Service", "ConfigMap", "Role"} <= {each["kind"] for each in manifests}
    assert not any("ownerReferences" in each["metadata"] for each in manifests)


@pytest.mark.parametrize(
    ("resource", "prompt", "decision", "reason"),
    [
        pytest.param(MINIMAL, EASY, "local", "confident", id="an easy prompt stays local"),
        pytest.param(MINIMAL, HARD, "api", "not-confident", id="a hard prompt goes to the API"),
        pytest.param(
            FULL,
            f"{HARD} Card: 4111 1111 1111 1111",
            "local",
            "data-policy",
            id="a data policy keeps even that local",
        ),
    ],
)
def test_route_says_who_answers_and_why(resource, prompt, decision, reason):
    answer = json.loads(hinf("route", "-f", resource, prompt, "-o", "json").output)
    assert (answer["decision"], answer["reason"]) == (decision, reason)


def test_route_says_what_the_prompt_costs_on_both_sides():
    answer = json.loads(hinf("route", "-f", MINIMAL, EASY, "-o", "json").output)
    assert 0 < answer["cost_local_usd"] < answer["cost_api_usd"]


def test_fit_says_what_outcomes_change_and_writes_a_state_that_helps(tmp_path):
    log, state = tmp_path / "log.jsonl", tmp_path / "state.json"
    log.write_text("".join(judged(number, good=number % 3 > 0) for number in range(120)))
    result = hinf("classifier", "fit", "--log", str(log), "-o", str(state))
    assert result.exit_code == 0, result.output
    assert "120 outcomes of local answers (feedback 120)" in result.output
    assert "next: hinf classifier apply" in result.output
    assert table.decode_calibration(state.read_bytes()).held_out.outcomes == 120


@pytest.mark.parametrize(
    ("outcomes", "code", "told"),
    [
        pytest.param(20, 1, "no state: 20 outcomes of local answers, 30 are needed", id="few"),
        pytest.param(0, 2, "is spec.router.accessLog on?", id="no log"),
    ],
)
def test_fit_writes_nothing_where_there_is_no_ground_for_it(tmp_path, outcomes, code, told):
    log, state = tmp_path / "log.jsonl", tmp_path / "state.json"
    log.write_text("".join(judged(number, good=True) for number in range(outcomes)))
    result = hinf("classifier", "fit", "--log", str(log), "-o", str(state))
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert not state.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(["--usd", "2", "8", "0.1"], "cheapest at 95% of the API's quality", id="pays"),
        pytest.param(["--usd", "0", "0", "9"], "drafts do not pay", id="does not pay"),
        pytest.param([], "with --usd INPUT OUTPUT LOCAL", id="no prices"),
    ],
)
def test_fit_chooses_a_cascades_threshold_by_what_it_costs(tmp_path, options, told):
    log = tmp_path / "log.jsonl"
    drafted = {
        "classifier": "cascade", "prompt_tokens": 90, "completion_tokens": 50,
        "draft": {"tokens": 10},
    }  # fmt: skip
    lines = [judged(n, good=n % 2, score=0.1 + 0.8 * (n % 2), **drafted) for n in range(400)]
    log.write_text("".join(lines))
    result = hinf("classifier", "fit", "--log", str(log), *options)
    assert (result.exit_code, told in result.output) == (0, True), result.output


def judged(number, *, good, **fields):
    """Return two lines of a router's log: a local answer, and what a client says of it."""
    at = {"request_id": f"r{number}", "key": "alice", "time": 1.0}
    decision = at | {
        "status": 200, "intent": "chat", "confidence": 0.95, "source": "local",
        "classifier": "embedded", "classifier_model": "m",
    } | fields  # fmt: skip
    outcome = at | {"type": "outcome", "source": "feedback", "score": float(good), "side": "local"}
    return f"{json.dumps(decision)}\n{json.dumps(outcome)}\n"


def test_route_reads_a_prompt_from_standard_input():
    answer = json.loads(hinf("route", "-f", MINIMAL, "-", "-o", "json", given=EASY).output)
    assert answer["decision"] == "local"


def test_an_explicit_name_is_not_classified():
    result = hinf("route", "-f", MINIMAL, HARD, "--model", "qwen3-4b", "-o", "json")
    answer = json.loads(result.output)
    assert (answer["reason"], answer["confidence"]) == ("explicit", None)


RULED = """
    apiVersion: hybridinference.dev/v1alpha1
    kind: HybridInference
    metadata: {name: ruled}
    spec:
      models: [{name: llama-3-8b, accelerator: {type: a10g}}]
      providers:
        - name: openai
          apiKey: {secretKeyRef: {name: openai, key: api-key}}
          models: [{name: gpt-4o}]
      routing:
        classifier: {type: none}
        rules:
          - {name: inside, match: {keys: [batch]}, models: [llama-3-8b]}
          - {name: paid, match: {keys: [gold]}, prefer: api}
"""


@pytest.mark.parametrize(
    ("model", "key", "decision", "reason", "rule"),
    [
        pytest.param("auto", "batch", "local", "ordered", "inside", id="an alias is cut"),
        pytest.param("auto", "gold", "api", "rule", "paid", id="a side is taken"),
        pytest.param("gpt-4o", "gold", "api", "explicit", None, id="a name has no side"),
        pytest.param("auto", "other", "local", "ordered", None, id="no rule"),
    ],
)
def test_route_follows_rules_where_nobody_judges(model, key, decision, reason, rule):
    said = ("route", "-f", "-", EASY, "--model", model, "--key", key, "-o", "json")
    answer = json.loads(hinf(*said, given=dedent(RULED)).output)
    assert (answer["decision"], answer["reason"], answer["rule"]) == (decision, reason, rule)


def test_route_refuses_a_named_model_that_a_rule_does_not_allow():
    said = ("route", "-f", "-", EASY, "--model", "gpt-4o", "--key", "batch", "-o", "json")
    result = hinf(*said, given=dedent(RULED))
    assert result.exit_code == 1
    assert "rule inside lets only llama-3-8b answer" in json.loads(result.output)["why"]


def test_an_unknown_name_is_bad_input_and_the_known_ones_are_listed():
    result = hinf("route", "-f", MINIMAL, EASY, "--model", "gpt-5")
    assert result.exit_code == 2
    assert "nobody serves 'gpt-5'; there are auto, " in result.output


def test_a_prompt_above_every_context_is_refused_with_exit_status_one():
    only_local = dedent("""
        apiVersion: hybridinference.dev/v1alpha1
        kind: HybridInference
        metadata: {name: small}
        spec:
          models: [{name: llama-3-8b, accelerator: {type: a10g}, context: {maxLength: 16}}]
    """)
    result = hinf("route", "-f", "-", "word " * 100, given=only_local)
    assert result.exit_code == 1
    assert "the longest context of this model is 16 tokens" in " ".join(result.output.split())


def test_plan_shows_arguments_and_what_has_no_effect():
    said = Path(FULL).read_text(encoding="utf-8")
    said += '  budgets: [{name: total, period: month, limitUSD: "500"}]\n'
    said = said.replace("      apiKey: {secretKeyRef: {name: openai, key: api-key}}\n", "")
    document = json.loads(hinf("plan", "-f", "-", "-o", "json", given=said).output)
    (model,) = document["models"]
    assert model["argv"][:3] == ["vllm", "serve", "my-org/support-llama-8b"]
    assert any(each.startswith("spec.providers[0].apiKey: ") for each in document["warnings"])
    assert any(each.startswith("spec.budgets: ") for each in document["warnings"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="an empty file"),
        pytest.param("kind: [", "", id="broken YAML"),
        pytest.param(
            "apiVersion: hybridinference.dev/v1alpha1\nkind: HybridInference\n"
            "metadata: {name: x}\nspec: {modles: []}\n",
            "did you mean models?",
            id="an unknown field, with the nearest one",
        ),
    ],
)
def test_a_bad_file_is_bad_input(text, expected):
    result = hinf("plan", "-f", "-", given=text)
    assert result.exit_code == 2
    assert result.output.startswith("Error: -: ")
    assert expected in result.output


def test_a_missing_file_is_named():
    result = hinf("plan", "-f", "no-such.yaml")
    assert result.exit_code == 2
    assert "no-such.yaml: No such file or directory" in result.output


def test_status_without_a_cluster_says_what_to_do(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/no/such/config")
    result = hinf("status")
    assert result.exit_code == 2
    assert "KUBECONFIG" in result.output
