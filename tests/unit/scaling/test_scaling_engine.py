"""The simulated engine against real ones: published figures of GPUs."""

from __future__ import annotations

import pytest

from hybrid_operator.core.engine.throughput import Benchmark, benchmarks
from hybrid_operator.simulate.engine import Engine, Job

PREFILL = {"a100-40gb": 12_700.0, "l4": 5_600.0, "rtx4090": 7_400.0}
"""Tokens/s of a 7 to 8 billion parameter model: 65 % of the dense 16-bit TFLOPS, as planned."""
UNBOUND = 1e9
"""Tokens/s: nothing of these is bound by computing while it decodes."""


def seconds(engine: Engine, batch: int, prompt: int, generated: int) -> float:
    """Return how long a batch takes that comes at once."""
    for _ in range(batch):
        engine.add(Job(0.0, prompt, generated))
    while engine.active:
        engine.advance(engine.next_event())
    return engine.now


def fastest(found: Benchmark) -> float:
    """Return the tokens/s of a request that make up what of a measurement was not prefill."""
    batch = found.batch or 1
    took = batch * (found.input + found.output) / found.tokens_per_s
    return (found.output - 1) / (took - batch * found.input / PREFILL[found.gpu])


PAIRS = [
    pytest.param("llama-3.1-8b", "a100-40gb", 1, 8, id="llama-3.1-8b on an A100, from 1 to 8"),
    pytest.param("mistral-7b", "rtx4090", 16, 48, id="mistral-7b on an RTX 4090, from 16 to 48"),
    pytest.param("qwen2.5-coder-7b", "l4", 1, 16, id="qwen2.5-7b on an L4, from 1 to 16"),
]


@pytest.mark.parametrize(("model", "gpu", "few", "many"), PAIRS)
def test_a_batch_takes_as_long_as_was_published_for_a_gpu(model, gpu, few, many):
    of = {each.batch: each for each in benchmarks() if (each.model, each.gpu) == (model, gpu)}
    engine = Engine(PREFILL[gpu], UNBOUND, ready_at=0.0, fastest=fastest(of[few]))
    published = many * (of[many].input + of[many].output) / of[many].tokens_per_s
    took = seconds(engine, many, of[many].input, of[many].output)
    assert took == pytest.approx(published, rel=0.15)


def test_who_decodes_waits_while_the_prompt_of_another_is_computed():
    engine = Engine(prefill=1_000.0, decode=1_000.0, ready_at=0.0, fastest=40.0)
    first = Job(0.0, 1, 100)
    engine.add(first)
    engine.advance(1.0)
    engine.add(Job(1.0, 4_000, 1))
    while engine.active:
        engine.advance(engine.next_event())
    alone = 99 / 40  # seconds; two steps of 2,048 tokens take 4 more, and give it two tokens
    assert first.done == pytest.approx(alone + 4.0, abs=0.1)


def test_with_shorter_steps_who_decodes_waits_less_and_prompts_take_longer():
    spread, took = [], []
    for batched in (2048, 256):
        engine = Engine(
            prefill=1_000.0, decode=1_000.0, ready_at=0.0, fastest=40.0, batched=batched
        )
        first, other = Job(0.0, 1, 5), Job(0.0, 4_000, 1)
        engine.add(first)
        engine.advance(0.001)  # its first token
        engine.add(other)
        while engine.active:
            engine.advance(engine.next_event())
        spread.append(((first.done or 0.0) - (first.first_token or 0.0)) / 4)
        took.append(other.first_token or 0.0)
    # 255 tokens of the prompt and one of the answer; a step of 2,048 takes 2.07 s.
    assert spread[1] == pytest.approx(255 / 1_000 + 1 / 40, rel=0.05)
    assert spread[0] > 3 * spread[1]
    assert took[0] < took[1] < 1.2 * took[0]


def test_a_step_takes_in_several_short_prompts():
    engine = Engine(prefill=1_000.0, decode=1_000.0, ready_at=0.0, fastest=10.0)
    engine.add(Job(0.0, 1, 1_000))
    engine.advance(0.01)
    for _ in range(10):
        engine.add(Job(0.01, 100, 1))
    engine.advance(1.35)  # one step of 1,000 prompt tokens and 100 ms; one by one they take 2 s
    assert sum(job.prompt == 100 for job in engine.finished) == 10
