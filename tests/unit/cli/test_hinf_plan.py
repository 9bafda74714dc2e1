"""`hinf plan`: fit, arguments, capacity and cost of a resource, without a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli
from tests.support.golden import ROOT

EXAMPLE = ROOT / "examples/hybridinference.yaml"
HEAD = "apiVersion: hybridinference.dev/v1alpha1\nkind: HybridInference\nmetadata: {name: x}\n"
PRICED = "[{name: openai, models: [{name: m, prices: {inputUSD: '0.15', outputUSD: '0.60'}}]}]"


def resource(model: str, providers: str = "[]") -> str:
    return f"{HEAD}spec: {{models: [{{{model}}}], providers: {providers}}}\n"


def hinf(text: str, *args: str) -> Result:
    return CliRunner().invoke(cli, ("plan", "-f", "-", *args), input=text, prog_name="hinf")


def document(text: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hinf(text, "-o", "json", *args).output)
    return found


NOT_NEEDED = (
    "aiohttp",
    "asyncio",
    "genai_prices",
    "httpx2",
    "hyperscan",
    "importlib.metadata",
    "kopf",
    "lightkube",
    "prometheus_client",
    "pydantic",
    "re2",
    "rich",
)


def test_nothing_is_imported_that_a_plan_does_not_need():
    script = (
        "import os, sys; from hybrid_operator.cli.main import main\n"
        f"os._exit = lambda _: print([n for n in {NOT_NEEDED!r} if n in sys.modules])\n"
        f"main(['plan', '-f', {str(EXAMPLE)!r}])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


FITS = "name: llama-3-8b, accelerator: {type: a10g}"


def test_a_model_that_fits_has_memory_arguments_capacity_and_cost():
    found = document(resource(FITS, PRICED))
    (model,) = found["models"]
    assert (model["name"], model["fits"], model["starts"]) == ("llama-3-8b", True, True)
    assert model["argv"][:3] == ["vllm", "serve", "meta-llama/Meta-Llama-3-8B-Instruct"]
    assert model["memory"]["weights_gib"] == pytest.approx(14.958)
    assert model["capacity_tokens_per_s"] > 500
    assert found["cost"]["gpus"] == 1
    assert found["cost"]["api_usd_per_million_tokens"] == pytest.approx(0.2538)
    assert found["cost"]["break_even_tokens_per_month"] > 10**9
    assert {"models", "cost", "warnings"} <= set(found)


def test_a_model_that_may_sleep_is_priced_as_it_is_awake():
    text = resource(f"{FITS}, scaling: {{min: 0, max: 4}}", PRICED)
    cost = document(text)["cost"]
    assert cost["gpus"] == 1
    assert cost["break_even_tokens_per_month"] > 10**9
    assert "less while a model sleeps" in hinf(text).output


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        pytest.param(FITS, 0, "yes", id="it fits"),
        pytest.param("name: phi-4, accelerator: {type: a10g}", 1, "FP8 weights", id="it does not"),
        pytest.param(
            f"{FITS}, context: {{concurrency: 64}}", 0, "instead of 64", id="it holds fewer"
        ),
        pytest.param(
            "name: mine, accelerator: {type: a10g}, source: {huggingFace: {repo: a/b}}",
            0,
            "unknown",
            id="nobody knows",
        ),
        pytest.param("name: llama-3-8b, accelerator: {type: cpu}", 0, "unknown", id="the CPU"),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10gg}", 1, "did you mean a10g or", id="no GPU"
        ),
    ],
)
def test_the_exit_status_is_the_answer(model, code, said):
    result = hinf(resource(model))
    assert result.exit_code == code
    assert said in " ".join(result.output.split())


def test_another_release_is_planned_for_models_that_state_none():
    (old,) = document(resource(FITS), "--vllm", "0.9")["models"]
    assert old["image"] == "vllm/vllm-openai:v0.9.0"
    assert "--disable-log-requests" in old["argv"]


def test_a_release_that_is_none_is_bad_input():
    assert hinf(resource(FITS), "--vllm", "new").exit_code == 2


def test_a_price_of_the_resource_wins_over_the_usual_one():
    found = document(resource(f"{FITS}, cost: {{gpuHourUSD: '2'}}, scaling: {{min: 2}}"))
    assert found["cost"]["gpus"] == 2
    assert found["cost"]["local_usd_per_month"] == 2880.0


def test_the_swap_space_of_old_start_scripts_becomes_kv_offloading():
    found = document(resource(f"{FITS}, engine: {{args: [--swap-space, '4']}}"))
    assert "--kv-offloading-size=4" in found["models"][0]["argv"]
    assert "--swap-space" not in found["models"][0]["argv"]
    assert any("--swap-space went with vLLM 0.18.0" in each for each in found["warnings"])


def test_several_resources_are_a_list():
    both = f"{resource(FITS)}---\n{resource(FITS).replace('name: x', 'name: y')}"
    found = yaml.safe_load(hinf(both, "-o", "yaml").output)
    assert [each["name"] for each in found] == ["x", "y"]


def test_a_model_that_holds_fewer_requests_starts_and_says_so():
    text = resource(f"{FITS}, context: {{concurrency: 64}}")
    (model,) = document(text)["models"]
    assert (model["fits"], model["starts"]) == ("fewer", True)
    assert "  fewer " in hinf(text).output


def test_an_option_that_the_engine_has_not_is_a_problem_and_costs_nothing():
    text = resource(f"{FITS}, engine: {{args: [--max-num-seq=4]}}")
    result, found = hinf(text), document(text)
    assert result.exit_code == 1
    assert "PROBLEMS\nmodel llama-3-8b cannot run so: engine.args: vLLM" in result.output
    assert result.output.count("cannot run so") == 1
    assert "USD a month" not in result.output
    assert found["cost"]["gpus"] == 0
    assert "did you mean --max-num-seqs?" in " ".join(found["problems"])
