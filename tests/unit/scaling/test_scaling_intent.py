"""What the policy is asked, and what a replica is thought to do, from the resource."""

from __future__ import annotations

import pytest

from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.fit import fit
from hybrid_operator.core.scaling import intent
from hybrid_operator.core.scaling.capacity import Capacity
from tests.support.resources import spec


def seed(objective: str) -> Capacity:
    scaling = f"scaling: {{objectives: {{itl: {objective}}}}}"
    text = f"models: [{{name: llama-3-8b, accelerator: {{type: a10g}}, {scaling}}}]"
    (model,) = spec(text).models
    return intent.seed(model, fit(model, CURRENT))


def test_short_steps_compute_fewer_prompt_tokens_a_second():
    long, short = seed("10s"), seed("100ms")
    # 128 tokens take 45 ms to compute, and the weights 34 ms to be read.
    assert short.prefill == pytest.approx(128 / 0.0793, rel=0.01)
    assert long.prefill > 1.5 * short.prefill
    assert long.decode == pytest.approx(short.decode, rel=0.05)


@pytest.mark.parametrize(
    ("objectives", "ttft", "itl"),
    [
        pytest.param("ttft: 2s, itl: 100ms", 2.0, 0.1, id="as they are stated"),
        pytest.param("ttft: 2s", 2.0, None, id="one of them"),
        pytest.param("itl: 20ms", None, None, id="not what no number of replicas attains"),
    ],
)
def test_objectives_are_what_replicas_can_attain(objectives, ttft, itl):
    scaling = f"scaling: {{objectives: {{{objectives}}}}}"
    text = f"models: [{{name: llama-3-8b, accelerator: {{type: a10g}}, {scaling}}}]"
    (model,) = spec(text).models
    found = intent.policy(model, {}).objectives
    assert (found.ttft_seconds, found.itl_seconds) == (ttft, itl)
