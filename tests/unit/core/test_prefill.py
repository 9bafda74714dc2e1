"""What routers are told of how fast a replica computes prompts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Observed, Ref
from hybrid_router.table import decode
from tests.support.resources import NOW, applied, observed

TABLE = Ref("ConfigMap", "support-router")
A10G = "accelerator: {type: a10g}"
TTFT = "objectives: {ttft: 2s}"
SCALED = f"{A10G}, scaling: {{min: 1, max: 4, {TTFT}}}"
PLANNED = 2704.0
"""Tokens/s of an A10G, in steps of 2,048."""


def resource(model: str, rate: object = None) -> Observed:
    """Return a resource whose status tells a rate."""
    told = {} if rate is None else {"scaling": {"prefillTokensPerSecond": rate}}
    status = {"models": [{"name": "llama-3-8b", **told}]}
    return observed(f"models: [{{name: llama-3-8b, {model}}}]", status=status)


def told(after: Observed) -> float | None:
    table = decode(after.children[TABLE]["data"]["table.json"].encode())
    return table.backends["local/llama-3-8b"].prefill_tokens_per_second


def planned(before: Observed) -> Observed:
    return applied(before, plan(before, NOW))


@pytest.mark.parametrize(
    ("model", "learnt", "rate"),
    [
        pytest.param(SCALED, None, PLANNED, id="what the planner expects"),
        pytest.param(f"{A10G}, scaling: {{{TTFT}}}", None, PLANNED, id="of a fixed number, too"),
        pytest.param(
            f"{A10G}, scaling: {{objectives: {{ttft: 2s, itl: 100ms}}}}",
            None,
            1607.0,
            id="in short steps",
        ),
        pytest.param(f"accelerator: {{type: cpu}}, scaling: {{{TTFT}}}", None, 500.0, id="a CPU's"),
        pytest.param(
            f"accelerator: {{type: mine, memory: 40Gi}}, scaling: {{{TTFT}}}",
            None,
            4000.0,
            id="an unknown GPU's",
        ),
        pytest.param(SCALED, 900, 900.0, id="what was learnt, first of all"),
        pytest.param(
            f"{A10G}, scaling: {{mode: External, min: 1, max: 4, {TTFT}}}",
            900,
            PLANNED,
            id="not what was learnt while the operator decided",
        ),
        pytest.param(SCALED, "much", PLANNED, id="nor what is no number"),
        pytest.param(A10G, 900, None, id="without an objective nothing"),
        pytest.param(f"{A10G}, scaling: {{min: 1, max: 4}}", 900, None, id="as long as none is"),
    ],
)
def test_a_replica_is_thought_to_compute_prompts_at(model, learnt, rate):
    assert told(planned(resource(model, learnt))) == (rate and pytest.approx(rate, rel=0.05))


@pytest.mark.parametrize(
    ("learnt", "rate"),
    [
        pytest.param(1000, 1000.0, id="as it was"),
        pytest.param(700, 1000.0, id="a little slower"),
        pytest.param(1400, 1000.0, id="a little faster"),
        pytest.param(600, 600.0, id="much slower"),
        pytest.param(1600, 1600.0, id="much faster"),
    ],
)
def test_a_table_is_written_anew_only_where_the_rate_is_another(learnt, rate):
    before = planned(resource(SCALED, 1000))
    seen = replace(before, status=resource(SCALED, learnt).status)
    writes = [obj["kind"] for obj in plan(seen, NOW).apply]
    assert ("ConfigMap" in writes) is (rate != 1000.0)
    assert told(planned(seen)) == rate


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("no JSON", id="no JSON"),
        pytest.param("[]", id="another form"),
        pytest.param('{"backends": {"local/llama-3-8b": {}}}', id="an older operator's"),
    ],
)
def test_whatever_stands_there_a_table_is_written(text):
    before = planned(resource(SCALED))
    child: Any = {**before.children[TABLE], "data": {"table.json": text}}
    assert told(
        planned(replace(before, children={**before.children, TABLE: child}))
    ) == pytest.approx(PLANNED, rel=0.05)
