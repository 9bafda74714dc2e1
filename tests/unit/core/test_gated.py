"""Models that only those get who accepted a licence: said before an engine starts, and after."""

from __future__ import annotations

import pytest

from hybrid_operator.core.engine import gated
from hybrid_operator.core.plan import plan
from tests.support.resources import MINIMAL, NOW, spec
from tests.support.states import down

TOKEN = "token: {secretKeyRef: {name: hf, key: token}}"
LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"


def with_env(env: str) -> str:
    return f"name: llama-3-8b, podTemplate: {{spec: {{containers: [{{name: engine, {env}}}]}}}}"


@pytest.mark.parametrize(
    ("model", "repo"),
    [
        pytest.param("name: llama-3-8b", LLAMA, id="a gated name of the catalogue"),
        pytest.param("name: qwen3-4b", "", id="a name that is free to all"),
        pytest.param(
            "name: llama-3-8b, quantization: awq", "", id="a checkpoint that is not gated"
        ),
        pytest.param(
            f"name: mine, source: {{huggingFace: {{repo: {LLAMA}}}}}", LLAMA, id="stated as source"
        ),
        pytest.param(
            f"name: mine, source: {{huggingFace: {{repo: {LLAMA}, {TOKEN}}}}}", "", id="a token"
        ),
        pytest.param(
            "name: llama-3-8b, "
            f"loras: [{{name: a, source: {{huggingFace: {{repo: a/b, {TOKEN}}}}}}}]",
            "",
            id="an adapter's token serves the model, too",
        ),
        pytest.param("name: llama-3-8b, source: {pvc: {claim: weights}}", "", id="from a volume"),
        pytest.param(with_env("env: [{name: HF_TOKEN, value: x}]"), "", id="a variable"),
        pytest.param(
            with_env("envFrom: [{secretRef: {name: hf}}]"), "", id="variables of a Secret"
        ),
        pytest.param(with_env("env: [{name: OTHER, value: x}]"), LLAMA, id="another variable"),
    ],
)
def test_a_gated_repository_without_a_token_is_known(model, repo):
    (found,) = spec(f"models: [{{accelerator: {{type: a10g}}, {model}}}]").models
    assert gated.untokened(found) == repo


def crash(text: str, message: str) -> str:
    seen = down(text, reason="CrashLoopBackOff", message=message, restarts=4)
    conditions = plan(seen, NOW).status["conditions"]
    return next(str(each["message"]) for each in conditions if each["type"] == "EnginesReady")


def test_a_crash_without_a_token_says_where_it_belongs():
    said = crash(MINIMAL, "ended with exit code 1 (Error)")
    assert f"{LLAMA} is gated on Hugging Face, and no token is stated" in said
    assert said.endswith("in source.huggingFace.token")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        pytest.param("OSError: You are trying to access a gated repo.", True, id="transformers"),
        pytest.param("GatedRepoError: 403 Client Error.", True, id="huggingface_hub"),
        pytest.param("OutOfMemoryError: CUDA out of memory.", False, id="another failure"),
    ],
)
def test_a_refused_token_is_told_from_other_failures(message, told):
    source = f"- name: llama-3-8b\n    source: {{huggingFace: {{repo: {LLAMA}, {TOKEN}}}}}"
    said = crash(MINIMAL.replace("- name: llama-3-8b", source), message)
    assert ("Hugging Face refuses the download" in said) == told
