"""Scheduler limits by GPU class, and raw arguments that move them or became others."""

from __future__ import annotations

import pytest

from hybrid_operator.core.engine.arguments import arguments, values
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.intent import intent
from tests.support.resources import spec


def rendered(text: str) -> dict[str, str]:
    (model,) = spec(f"models: [{{name: llama-3-8b, {text}}}]").models
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
