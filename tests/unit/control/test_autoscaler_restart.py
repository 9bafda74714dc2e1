"""What autoscaling has learnt outlives the process, in the status."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from hybrid_operator.control.status import add_scaling
from tests.support import virtual_time
from tests.support.scaled_cluster import KEY, Cluster, model


def test_capacity_and_decisions_outlive_the_process():
    async def play():
        cluster = Cluster({"max": 4})
        cluster.status = {
            "models": [
                {
                    "name": "m",
                    "scaling": {
                        "prefillTokensPerSecond": 321,
                        "decodeTokensPerSecond": 45,
                        "coldStartSeconds": 240,
                        "decisions": ["2025-12-31T23:00Z 2>1 Demand"],
                    },
                }
            ]
        }
        await cluster.look(3, work=0.1)
        told = cluster.scaler.status(KEY)
        assert told
        assert json.loads(json.dumps(told.models["m"])) == {
            "recommended": 1,
            "reason": "Demand",
            "prefillTokensPerSecond": 321,
            "decodeTokensPerSecond": 45,
            "coldStartSeconds": 240,
            "decisions": ["2025-12-31T23:00Z 2>1 Demand"],
        }

    virtual_time.run(play())


H100 = {"accelerator": {"type": "h100"}}
CPU_SAID = {"prefillTokensPerSecond": 321, "decodeTokensPerSecond": 45, "coldStartSeconds": 240}
FROM_BEFORE = [
    pytest.param("..500-60", {}, True, id="the planner expects what it did: it is believed"),
    pytest.param("..510-61", {}, True, id="or nearly so"),
    pytest.param("", {}, True, id="what it expected is not known: it is believed"),
    pytest.param("..9-x", {}, True, id="or cannot be read"),
    pytest.param("..500-60", H100, False, id="it expects other hardware: it starts anew"),
    pytest.param("..500-90", {}, False, id="or another rate of decoding"),
]


@pytest.mark.parametrize(("memory", "fields", "believed"), FROM_BEFORE)
def test_capacity_that_was_learnt_for_another_spec_is_not_believed(memory, fields, believed):
    async def play():
        cluster = Cluster({"max": 4})
        cluster.spec = {"models": [model({"max": 4}, **fields)]}
        cluster.status = {"models": [{"name": "m", "scaling": CPU_SAID}], "scalingMemory": memory}
        await cluster.look(3)
        return written(cluster)["models"][0]["scaling"]

    told = virtual_time.run(play())
    assert (told["prefillTokensPerSecond"] == 321) == believed
    assert ("coldStartSeconds" in told) == believed


def test_capacity_is_learnt_anew_where_the_spec_changes_to_other_hardware():
    async def play():
        cluster = Cluster({"max": 4})
        await cluster.look(20, work=1.1)
        cluster.status = before = written(cluster)
        cluster.spec = {"models": [model({"max": 4, "targetUtilization": "0.7"})]}
        cluster.generation += 1
        await cluster.look(2)
        assert written(cluster)["scalingMemory"] == before["scalingMemory"]
        cluster.spec = {"models": [model({"max": 4}, **H100)]}
        cluster.generation += 1
        await cluster.look(2)
        after = written(cluster)
        prefill = after["models"][0]["scaling"]["prefillTokensPerSecond"]
        decode = after["models"][0]["scaling"]["decodeTokensPerSecond"]
        assert prefill > 10_000
        assert after["scalingMemory"] == f"..{prefill}-{decode}"

    virtual_time.run(play())


def test_a_new_process_tells_what_the_old_one_told_until_it_has_decided():
    """Looking twice takes seconds; a status that told less meanwhile would be written twice."""

    async def play():
        cluster = Cluster({"max": 4})
        await cluster.look(3, work=0.1)
        told = cluster.scaler.status(KEY)
        assert told
        cluster.status = written(cluster)
        cluster.start()
        for _ in range(3):
            await cluster.look(1, work=0.1)
            assert cluster.scaler.status(KEY) == told

    virtual_time.run(play())


def test_a_new_process_that_decides_on_the_same_number_tells_no_other_reason_at_once():
    """It has not seen the load of before, so that its reason differs: a write of each status."""

    async def play():
        cluster = Cluster({"max": 4}, replicas=2)
        await cluster.look(30, work=0.8)
        cluster.status = written(cluster)
        cluster.start()
        await cluster.look(15)
        return cluster.status, written(cluster)

    before, after = virtual_time.run(play())
    assert before["models"][0]["scaling"]["reason"] == "Demand"
    assert after == before


PRICED: dict[str, Any] = {
    "models": [
        model({"min": 0, "max": 4}, accelerator={"type": "a10g"}, cost={"gpuHourUSD": "1.00"})
    ],
    "providers": [
        {
            "name": "openai",
            "apiKey": {"secretKeyRef": {"name": "openai", "key": "api-key"}},
            "models": [{"name": "gpt-4o", "prices": {"inputUSD": "2.50", "outputUSD": "90.00"}}],
        }
    ],
}


def written(cluster: Cluster) -> dict[str, Any]:
    """Write the status as the reconciler does."""
    planned: dict[str, Any] = {"models": [{"name": "m"}]}
    add_scaling(planned, cluster.status, cluster.scaler.status(KEY))
    return planned


def test_the_long_memory_outlives_the_process_and_is_told_every_ten_minutes_at_most():
    """Peaks that a dear API would answer keep replicas, however short ago the operator started."""

    async def play():
        cluster = Cluster({}, replicas=0)
        cluster.spec = PRICED
        texts: list[str] = []
        for _ in range(8):
            await cluster.look(4, diverted=60, step=15)
            cluster.status = written(cluster)
            await cluster.look(36, step=15)
            cluster.status = written(cluster)
            texts.append(cluster.status["scalingMemory"])
        assert cluster.replicas > 0
        assert len(texts[-1]) <= 1024
        decided = len(cluster.log)
        assert len(set(texts)) <= decided + 8
        stands = cluster.replicas
        cluster.start()
        await cluster.look(36, step=15)
        assert cluster.replicas == stands
        cluster.status = {}
        cluster.start()
        await cluster.look(80, step=15)
        assert cluster.replicas < stands

    virtual_time.run(play())


DAY = timedelta(days=1)
FORECAST = {"min": 1, "max": 4, "forecast": True}


@pytest.mark.parametrize(
    ("later", "jump", "wanted"),
    [
        pytest.param(FORECAST, DAY, (3, "Forecast"), id="it knows yesterday's demand"),
        pytest.param(FORECAST, 400 * DAY, (3, "Forecast"), id="a clock that jumps is no matter"),
        pytest.param(FORECAST, -3 * DAY, (3, "Forecast"), id="nor one that goes back"),
        pytest.param(FORECAST, DAY + timedelta(hours=5), (1, "Demand"), id="at another hour not"),
        pytest.param(FORECAST | {"max": 2}, DAY, (2, "Bounds"), id="a lower max bounds it"),
        pytest.param(FORECAST | {"forecast": False}, DAY, (1, "Demand"), id="turned off, no more"),
    ],
)
def test_the_forecast_outlives_the_process(
    later: dict[str, Any], jump: timedelta, wanted: tuple[int, str]
):
    async def play():
        cluster = Cluster(FORECAST)
        await cluster.look(240, diverted=2.2, step=15)
        cluster.status = written(cluster)
        assert len(cluster.status["scalingMemory"]) <= 1024
        cluster.spec = {**cluster.spec, "models": [model(later)]}
        cluster.generation += 1
        cluster.replicas, cluster.ahead = 1, jump - timedelta(minutes=30)
        cluster.start()
        await cluster.look(8, work=0.1, step=15)
        told = cluster.scaler.status(KEY)
        assert told
        scaling = told.models["m"]
        assert (scaling["recommended"], scaling["reason"]) == wanted
        _, profile, seed = told.memories["m"].split(".")
        assert (bool(profile), seed) == (later["forecast"], "500-60")

    virtual_time.run(play())


@pytest.mark.parametrize("status", [{}, {"models": None}, {"models": [{"name": "m"}]}])
def test_a_status_that_tells_nothing_starts_from_the_planner(status):
    async def play():
        cluster = Cluster({"max": 4})
        cluster.status = status
        await cluster.look(3)
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["prefillTokensPerSecond"] == 500

    virtual_time.run(play())
