"""Scheduler limits by GPU class, and raw arguments that move them or became others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.engine.arguments import arguments, values
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.intent import intent
from hybrid_operator.core.engine.throughput import LEAST_STEP, Rates
from tests.support.resources import spec


def rendered(text: str, *, name: str = "llama-3-8b") -> dict[str, str]:
    (model,) = spec(f"models: [{{name: mine, catalog: {name}, {text}}}]").models
    return values(arguments(intent(model, CURRENT)).argv)


@pytest.mark.parametrize(
    ("model", "sequences", "tokens"),
    [
        pytest.param("accelerator: {type: a10g}", "256", "2048", id="24 GB"),
        pytest.param("accelerator: {type: a100-80gb}", "256", "2048", id="A100"),
        pytest.param("accelerator: {type: h100}", "1024", "8192", id="80 GB"),
        pytest.param("accelerator: {type: b200}", "1024", "16384", id="180 GB"),
        pytest.param("accelerator: {type: x, memory: 24Gi}", "256", "2048", id="a stated size"),
        pytest.param("accelerator: {type: cpu}", None, None, id="the CPU"),
        pytest.param(
            "accelerator: {type: a10g}, context: {concurrency: 4000}",
            "4000",
            "4000",
            id="more requests than tokens of a step",
        ),
        pytest.param(
            "accelerator: {type: a10g}, engine: {args: [--max-num-batched-tokens=128]}",
            "128",
            "128",
            id="no more requests than raw arguments allow tokens",
        ),
        pytest.param(
            "accelerator: {type: a10g}, engine: {args: [--max-num-seqs=4096]}",
            "4096",
            "4096",
            id="no fewer tokens than raw arguments allow requests",
        ),
        pytest.param(
            "accelerator: {type: a10g}, engine: {chunkedPrefill: false}",
            "256",
            "8192",
            id="whole prompts in one step",
        ),
        pytest.param(
            "accelerator: {type: t4}, engine: {version: '0.8'}",
            "256",
            None,
            id="the old engine takes prompts whole by itself",
        ),
    ],
)
def test_limits_follow_the_gpu(model, sequences, tokens):
    found = rendered(model)
    assert found.get("--max-num-seqs") == sequences
    assert found.get("--max-num-batched-tokens") == tokens


H100, A10G, L4 = (f"accelerator: {{type: {name}}}" for name in ("h100", "a10g", "l4"))


def asked(itl: str, more: str) -> str:
    return f"scaling: {{objectives: {{itl: {itl}}}}}, {more}"


@pytest.mark.parametrize(
    ("model", "sequences", "tokens"),
    [
        pytest.param(asked("1s", A10G), "256", "2048", id="an objective that every step meets"),
        pytest.param(asked("100ms", H100), "1024", "2048", id="a step is as short as asked for"),
        pytest.param(asked("100ms", A10G), "128", "128", id="so many requests at once fit in it"),
        pytest.param(asked("36ms", A10G), "64", "64", id="never so short that it only reads"),
        pytest.param(asked("20ms", A10G), "256", "2048", id="no step could be so short"),
        pytest.param(asked("80ms", L4), "64", "64", id="a slower memory"),
        pytest.param(
            asked("100ms", f"{L4}, quantization: fp8"), "128", "128", id="a smaller format"
        ),
        pytest.param(
            asked("100ms", "accelerator: {type: h100, count: 4}"), "1024", "4096", id="more GPUs"
        ),
        pytest.param(
            asked("100ms", f"{A10G}, context: {{concurrency: 300}}"),
            "300",
            "300",
            id="more requests at once are asked for",
        ),
        pytest.param(
            asked("100ms", f"{A10G}, engine: {{args: [--max-num-batched-tokens=1024]}}"),
            "128",
            "1024",
            id="raw arguments win",
        ),
        pytest.param(
            asked("100ms", f"{A10G}, engine: {{args: [--max-num-batched-tokens=4k]}}"),
            "128",
            "4k",
            id="raw arguments win, in vLLM's own way of writing",
        ),
        pytest.param(
            asked("100ms", f"{A10G}, engine: {{args: ['--speculative-config={{}}']}}"),
            "256",
            "2048",
            id="a request that guesses takes several tokens of a step",
        ),
        pytest.param(
            asked("100ms", "accelerator: {type: h100, memory: 20Gi}"),
            "256",
            "2048",
            id="a slice that calls itself a GPU",
        ),
        pytest.param(
            asked("100ms", f"{A10G}, engine: {{chunkedPrefill: false}}"),
            "256",
            "8192",
            id="whole prompts in one step cannot be shorter",
        ),
        pytest.param(
            asked("100ms", f"{A10G}, engine: {{weightOffload: {{size: 4Gi}}}}"),
            "256",
            "2048",
            id="weights that come from the host's memory",
        ),
        pytest.param(
            asked("100ms", "accelerator: {type: x, memory: 24Gi}"),
            "256",
            "2048",
            id="a GPU of unknown speed",
        ),
        pytest.param(
            asked(
                "100ms",
                "accelerator: {type: h100, memory: 20Gi, resourceName: nvidia.com/mig-2g.20gb}",
            ),
            "256",
            "2048",
            id="a slice of unknown speed",
        ),
    ],
)
def test_a_step_is_no_longer_than_the_time_between_tokens_that_is_asked_for(
    model, sequences, tokens
):
    found = rendered(model)
    assert found["--max-num-seqs"] == sequences
    assert found["--max-num-batched-tokens"] == tokens


def test_a_model_with_a_state_keeps_steps_that_hold_its_long_blocks():
    found = rendered(asked("20ms", A10G), name="qwen3.5-4b")
    assert found["--max-num-batched-tokens"] == "2048"


@pytest.mark.parametrize(
    ("name", "more", "tokens"),
    [
        pytest.param("gemma-4-12b", A10G, "2496", id="of Gemma 4 12B a video"),
        pytest.param("gemma-3-4b", asked("50ms", A10G), "2048", id="Gemma 3 keeps vLLM's own"),
        pytest.param("gemma-4-e2b", A10G, "2048", id="not where it may be cut"),
    ],
)
def test_a_step_holds_what_vllm_does_not_cut(name, more, tokens):
    assert rendered(more, name=name)["--max-num-batched-tokens"] == tokens


@given(
    seconds=st.floats(0.001, 10),
    least=st.floats(0.001, 1),
    kv=st.floats(0, 1),
    prefill=st.floats(10, 1e6),
    longer=st.floats(1, 10),
)
def test_a_step_lasts_no_longer_than_asked_and_grows_with_it(seconds, least, kv, prefill, longer):
    rates = Rates(least, least + kv, prefill)
    tokens = rates.step_tokens(seconds)
    assert tokens == LEAST_STEP or rates.step(tokens) <= seconds * 1.000001
    assert tokens & (tokens - 1) == 0
    assert rates.step_tokens(seconds * longer) >= tokens


@pytest.mark.parametrize(
    ("model", "kept", "offload"),
    [
        pytest.param("engine: {args: [--swap-space, '4']}", None, "4", id="it became offloading"),
        pytest.param("engine: {args: [--swap-space=4]}", None, "4", id="in one word, too"),
        pytest.param(
            "engine: {version: '0.17', args: [--swap-space=4]}", "4", None, id="while it was there"
        ),
        pytest.param("engine: {args: [--swap-space=0]}", None, None, id="none is none"),
        pytest.param(
            "engine: {kvOffload: {size: 8Gi}, args: [--swap-space=4]}",
            None,
            "8",
            id="the field says it better",
        ),
    ],
)
def test_swap_space(model, kept, offload):
    found = rendered(f"accelerator: {{type: a10g}}, {model}")
    assert found.get("--swap-space") == kept
    assert found.get("--kv-offloading-size") == offload


def test_swap_space_counted_each_gpu():
    found = rendered("accelerator: {type: a10g, count: 2}, engine: {args: [--swap-space=4]}")
    assert found["--kv-offloading-size"] == "8"
