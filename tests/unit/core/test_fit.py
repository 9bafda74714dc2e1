"""The condition Fits: what is known of a model before a GPU is spent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.fit import Fit, fit
from hybrid_operator.core.engine.intent import intent
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Observed
from tests.support.resources import MINIMAL, NOW, applied, observed, owner, spec

ARCHITECTURE = (
    "architecture: {layers: 32, kvHeads: 8, headDimension: 128, parameters: 8030261248}, "
    "source: {huggingFace: {repo: org/mine}}"
)


def judged(text: str) -> Fit:
    (model,) = spec(f"models: [{text}]").models
    return fit(model, CURRENT)


def told_of(path: str, text: str) -> list[str]:
    return [str(each) for each in judged(text).warnings if each.path == path]


def condition(seen: Observed, kind: str = "Fits") -> tuple[str, str, str]:
    found = plan(seen, NOW).status["conditions"]
    (one,) = (each for each in found if each["type"] == kind)
    return one["status"], one["reason"], one["message"]


def with_model(text: str, **more: Any) -> Observed:
    providers = MINIMAL.split("providers:")[1]
    return observed(f"models: [{text}]\nproviders:{providers}", **more)


@pytest.mark.parametrize(
    ("model", "verdict", "starts"),
    [
        pytest.param("name: llama-3-8b, accelerator: {type: a10g}", True, True, id="one that fits"),
        pytest.param(
            "name: phi-4, accelerator: {type: a10g}", False, False, id="weights above the GPU"
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, context: {concurrency: 64}",
            False,
            True,
            id="fewer requests at once than wanted is a reason to tell, not to stop",
        ),
        pytest.param(
            "name: gemma-3-4b, accelerator: {type: t4}",
            False,
            False,
            id="a model that overflows in the only precision of its GPU",
        ),
        pytest.param(
            "name: qwen3-4b, accelerator: {type: t4}, quantization: fp8, engine: {version: '0.13'}",
            False,
            False,
            id="a format that the release has no kernel for on this GPU",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: l4}, quantization: bitsandbytes",
            False,
            False,
            id="a format that the release has no more",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: l4}, quantization: bitsandbytes, "
            "engine: {image: mine}",
            None,
            True,
            id="but an image of its own may bring it",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: a10g}, quantization: awq",
            False,
            False,
            id="a format that nobody is known to have written the model in",
        ),
        pytest.param("name: phi-4, accelerator: {type: cpu}", None, True, id="the CPU"),
        pytest.param(
            "name: mine, accelerator: {type: a10g}, source: {huggingFace: {repo: org/mine}}",
            None,
            True,
            id="a model of which nothing is known",
        ),
        pytest.param(
            f"name: mine, accelerator: {{type: l4}}, context: {{maxLength: 4096}}, {ARCHITECTURE}",
            True,
            True,
            id="a model whose architecture is stated",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: x1, memory: 16Gi}",
            False,
            False,
            id="a GPU of which the memory is stated",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: a100-80gb, resourceName: nvidia.com/mig-1g.10gb}",
            None,
            True,
            id="a slice of a GPU whose memory nobody states",
        ),
    ],
)
def test_a_model_is_judged(model, verdict, starts):
    found = judged(f"{{{model}}}")
    assert (found.verdict, not found.impossible) == (verdict, starts)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            "name: phi-4, accelerator: {type: a10g}",
            "weights take 27.3",
            id="the memory, in figures",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: a10g}",
            "it fits with FP8 weights (weight-only on a10g)",
            id="the change that makes it fit",
        ),
        pytest.param(
            "name: mine, accelerator: {type: a10g}, source: {huggingFace: {repo: org/mine}}",
            "give architecture (`hinf inspect` reads it from config.json)",
            id="what is missing",
        ),
        pytest.param(
            "name: phi-4, accelerator: {type: a10g}, quantization: awq",
            "awq weights come from a checkpoint written so, and the catalogue knows none of phi-4",
            id="the checkpoint that is missing",
        ),
        pytest.param(
            f"name: mine, accelerator: {{type: a10g}}, {ARCHITECTURE}",
            "context.maxLength is missing",
            id="the context that only vLLM knows",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, "
            "engine: {args: ['--tensor-parallel-size=2']}",
            "these ask for 2 GPUs and accelerator.count for 1",
            id="more GPUs than the pod has",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, "
            "engine: {version: '0.25', args: ['--max-model-length=9']}",
            "vLLM 0.25.0 has no --max-model-length; did you mean --max-model-len?",
            id="an option that the release does not have",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, engine: {version: '0.25', args: "
            "['--device=cuda']}",
            "vLLM 0.25.0 has no --device",
            id="an abbreviation, which vLLM would take for another option",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, "
            "engine: {args: ['--enable-chunked-prefill=False']}",
            "--enable-chunked-prefill takes no value",
            id="a value of a flag",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, "
            "engine: {prefixCaching: true, args: ['--enable-chunked-prefill', "
            "'--no-enable-chunked-prefill']}",
            "contradict each other",
            id="two that contradict each other",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: a10g}, "
            "engine: {args: ['--max-num-seqs=64', '--max-num-batched-tokens=32']}",
            "--max-num-batched-tokens 32 is below --max-num-seqs 64",
            id="fewer tokens than sequences",
        ),
        pytest.param(
            "name: llama-3-8b, accelerator: {type: t4}, engine: {args: [--dtype, bfloat16]}",
            "--dtype bfloat16 needs compute capability 8.0",
            id="a precision that the GPU lacks",
        ),
    ],
)
def test_what_is_wrong_is_said(model, expected):
    _, _, message = condition(with_model(f"{{{model}}}"))
    assert expected in message


def test_an_argument_that_wins_over_a_field_is_named_and_no_fault():
    text = (
        "{name: llama-3-8b, accelerator: {type: a10g}, context: {maxLength: 4096}, "
        "engine: {args: [--max-model-len, '2048']}}"
    )
    status, _, message = condition(with_model(text))
    assert status == "True"
    assert "--max-model-len 2048 of engine.args wins over 4096" in message


def test_the_t4_trap_is_told_with_its_numbers():
    _, _, message = condition(with_model("{name: qwen3-4b, accelerator: {type: t4}}"))
    assert "320 GB/s and 65 TFLOPS against the A10G's 600 and 70" in message


TOO_LARGE = "{name: phi-4, accelerator: {type: a10g}}"


def test_a_model_that_cannot_fit_is_not_started():
    seen = with_model(TOO_LARGE)
    made = {(each["kind"], each["metadata"]["name"]) for each in plan(seen, NOW).apply}
    assert not any(kind == "Deployment" and "phi-4" in name for kind, name in made)
    assert condition(seen)[:2] == ("False", "DoesNotFit")
    assert condition(seen, "EnginesReady")[:2] == ("False", "DoesNotFit")
    assert 'hybridinference.dev/ignore-fit="true"' in condition(seen)[2]


def test_the_annotation_insists():
    insisting = owner(annotations={"hybridinference.dev/ignore-fit": "true"})
    seen = with_model(TOO_LARGE, owner=insisting)
    kinds = [each["kind"] for each in plan(seen, NOW).apply]
    assert kinds.count("Deployment") == 2
    assert condition(seen)[:2] == ("False", "DoesNotFit")


def test_an_engine_that_runs_goes_on_when_its_spec_becomes_impossible():
    before = with_model("{name: phi-4, accelerator: {type: l40s}}")
    made = applied(before, plan(before, NOW))
    after = replace(made, spec=with_model(TOO_LARGE).spec)
    found = plan(after, NOW)
    assert found.delete == ()
    assert not any(each["kind"] == "Deployment" for each in found.apply)
    assert sum(ref.kind == "Deployment" for ref in made.children) == 2


@pytest.mark.parametrize(
    ("model", "says"),
    [
        pytest.param("name: llama-3-8b", "", id="a step can be so short"),
        pytest.param(
            "name: phi-4, quantization: fp8, context: {maxLength: 2048, concurrency: 256}",
            "are missed while prompts are computed: a step of 256 tokens takes about 199 ms",
            id="more requests at once than fit into it",
        ),
        pytest.param(
            "name: mine, catalog: qwen3.5-4b",
            "are missed while prompts are computed: a step of 2048 tokens takes about",
            id="a model whose steps must be long",
        ),
        pytest.param(
            "name: llama-3-8b, engine: {args: [--max-num-batched-tokens=4096]}",
            "are missed while prompts are computed: a step of 4096 tokens takes about 1480 ms",
            id="raw arguments ask for long steps",
        ),
        pytest.param(
            "name: phi-4-mini, engine: {weightOffload: {size: 4Gi}}", "", id="nobody knows"
        ),
    ],
)
def test_an_objective_that_steps_miss_is_told(model, says):
    asked = "accelerator: {type: a10g}, scaling: {objectives: {itl: 100ms}}"
    told = told_of("scaling.objectives.itl", f"{{{model}, {asked}}}")
    assert len(told) == bool(says)
    for each in told:
        assert each.startswith(f"scaling.objectives.itl: 100 ms between tokens {says}")


def test_an_objective_below_the_time_to_read_the_weights_is_told():
    asked = "name: llama-3-8b, accelerator: {type: a10g}, scaling: {objectives: {itl: 20ms}}"
    (warning,) = told_of("scaling.objectives.itl", f"{{{asked}}}")
    assert warning.startswith(
        "scaling.objectives.itl: 20 ms between tokens cannot be had: reading the weights alone "
        "takes about 34 ms on a10g"
    )


def test_the_status_has_the_memory_of_each_model():
    (model,) = plan(observed(), NOW).status["models"]
    memory = model["memory"]
    assert memory["verdict"] == "Fits"
    assert memory["weightsGiB"] == "14.96"
    assert memory["contextTokens"] == 8192
    assert memory["maxConcurrentSequences"] > 0


def test_what_cannot_be_planned_has_no_memory_in_the_status():
    (model,) = plan(with_model("{name: phi-4, accelerator: {type: cpu}}"), NOW).status["models"]
    assert "memory" not in model


def test_a_format_that_checkpoints_are_written_in_brings_its_repository():
    (model,) = spec("models: [{name: qwen3-8b, accelerator: {type: l4}, quantization: awq}]").models
    assert intent(model, CURRENT).model == "Qwen/Qwen3-8B-AWQ"


def test_slots_for_adapters_are_planned_for_the_highest_rank():
    base = "name: llama-3-8b, accelerator: {type: a10g}, quantization: fp8"
    source = "source: {pvc: {claim: adapters}}"
    low, high = (
        judged(f"{{{base}, loras: [{{name: a, {source}}}, {{name: b, {source}, rank: {rank}}}]}}")
        for rank in (16, 33)
    )
    assert low.memory is not None
    assert high.memory is not None
    assert high.memory.loras == 4 * low.memory.loras


def test_slots_for_adapters_are_planned_as_raw_arguments_ask_for_them():
    base = "name: llama-3-8b, accelerator: {type: a10g}"
    args = "engine: {args: [--enable-lora, --max-loras=4, --max-lora-rank=64]}"
    none, four = judged(f"{{{base}}}").memory, judged(f"{{{base}, {args}}}").memory
    assert none is not None
    assert four is not None
    assert none.loras == 0
    assert four.loras > 2**30
