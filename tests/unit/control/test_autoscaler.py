"""The autoscaling loop: whose replicas it sets, when it leaves them alone, and what it tells."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.control.scaled import Told
from hybrid_operator.core.scaling.quota import Quota
from hybrid_operator.core.state import Pool, Share
from hybrid_operator.kube.errors import Unavailable
from hybrid_operator.kube.writer import NotLeading
from tests.support import virtual_time
from tests.support.scaled_cluster import ENGINE, HPA, KEY, OURS, SCALER, Cluster, model


def test_taking_over_writes_the_number_that_stands_there_and_then_nothing():
    async def play():
        cluster = Cluster({"min": 0, "max": 4}, replicas=3)
        await cluster.look(5, work=0.8)
        assert cluster.log == ["scale 3"]
        assert cluster.events == []

    virtual_time.run(play())


def test_a_resource_that_states_no_range_is_left_alone_and_its_pods_are_not_asked():
    async def play():
        cluster = Cluster({})
        cluster.hung = {"e1", "r"}
        await cluster.look(5, work=5)
        assert (cluster.log, cluster.scaler.status(KEY)) == ([], Told({}))

    virtual_time.run(play())


def test_load_adds_replicas_with_an_event_and_a_line_in_the_status():
    async def play():
        cluster = Cluster({"max": 4})
        await cluster.look(2, work=0.1)
        await cluster.look(40, work=1.2)
        assert cluster.replicas > 1
        assert cluster.events[0].reason in ("ScaledDemand", "ScaledPanic")
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["recommended"] == cluster.replicas
        assert told.models["m"]["decisions"][-1].startswith("2026-01-01T00:01Z 1>2 ")

    virtual_time.run(play())


def test_a_request_wakes_a_model_that_sleeps():
    async def play():
        cluster = Cluster({"min": 0, "max": 2}, replicas=0)
        await cluster.look(3)
        await cluster.look(1, diverted=0.01)
        assert cluster.replicas == 1
        assert cluster.events[0].reason == "ScaledWake"

    virtual_time.run(play())


def test_it_wakes_while_the_api_still_answers_that_request():
    async def play():
        cluster = Cluster({"min": 0, "max": 2}, replicas=0)
        await cluster.look(3)
        cluster.passed += 1
        await cluster.look(1)
        assert cluster.replicas == 1
        assert cluster.events[0].reason == "ScaledWake"

    virtual_time.run(play())


def test_without_requests_it_sleeps_again_and_the_least_busy_pod_goes_first():
    async def play():
        cluster = Cluster({"min": 0, "max": 4, "idleAfter": "1m"}, replicas=2)
        cluster.generated.update(e1=5.0)
        await cluster.look(200)
        return cluster

    cluster = virtual_time.run(play())
    # Requests run at both all the time here, so neither sleeps; the surplus one goes.
    assert cluster.log[:4] == ["scale 2", "e1 costs 2", "e2 costs 3", "scale 1"]


def test_another_reason_for_the_same_number_is_told_when_it_lasts():
    """Each is a write of the status: an engine that is slow to tell is no news every 6 seconds."""

    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(4)
        before = len(cluster.news)
        for _ in range(20):
            cluster.hung = {"e2"}
            await cluster.look(1)
            cluster.hung = set()
            await cluster.look(3)
        assert len(cluster.news) == before
        cluster.hung = {"e2"}
        await cluster.look(30)
        assert len(cluster.news) == before + 1
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "NoMetrics"

    virtual_time.run(play())


def test_recommending_writes_nothing():
    async def play():
        cluster = Cluster({"mode": "Recommend", "max": 4})
        await cluster.look(40, work=1.2)
        told = cluster.scaler.status(KEY)
        assert cluster.log == []
        assert told
        assert told.models["m"]["recommended"] > 1

    virtual_time.run(play())


@pytest.mark.parametrize(
    ("mode", "owners"),
    [
        pytest.param("Recommend", [OURS], id="in mode Recommend"),
        pytest.param("Auto", [OURS, HPA], id="where an HPA scales"),
    ],
)
def test_a_number_that_is_not_set_settles_as_replicas_would(mode, owners):
    """Which do not follow it: it is neither held near them nor another one with every look."""

    async def play():
        cluster = Cluster({"mode": mode, "max": 40})
        cluster.owners = owners
        for _ in range(100):
            await cluster.look(1, diverted=19)
            await cluster.look(1, diverted=9)
        told = cluster.scaler.status(KEY)
        assert told
        assert 17 <= told.models["m"]["recommended"] <= 18
        assert told.models["m"]["decisions"][0].startswith("2026-01-01T00:00Z"), "none since"
        assert cluster.log == []

    virtual_time.run(play())


def test_auto_to_external_to_auto_under_load_changes_nothing():
    async def play():
        cluster = Cluster({"min": 1, "max": 4}, replicas=2)
        await cluster.look(10, work=0.8)
        assert cluster.log == ["scale 2"]
        cluster.spec = {"models": [model({"mode": "External", "max": 4})]}
        cluster.generation = 2
        cluster.owners, cluster.replicas = [HPA], 3
        await cluster.look(10, work=0.8)
        assert cluster.log == ["scale 2"]
        cluster.spec = {"models": [model({"min": 1, "max": 4})]}
        cluster.generation = 3
        await cluster.look(3, work=0.8)
        assert cluster.log == ["scale 2"]
        assert [each.reason for each in cluster.events] == ["OtherScaler"]
        cluster.scalers = {ENGINE: "hpa"}
        await cluster.look(3, work=0.8)
        assert cluster.log == ["scale 2"]
        cluster.scalers = {}  # somebody deleted it; in the Deployment it stands for good
        await cluster.look(10, work=0.8)
        assert cluster.log == ["scale 2", "scale 3"]

    virtual_time.run(play())


def test_of_a_model_that_is_not_ours_any_more_nothing_is_told():
    async def play():
        cluster = Cluster({"max": 4})
        await cluster.look(3)
        told = cluster.scaler.status(KEY)
        assert told
        assert list(told.models) == ["m"]
        cluster.spec, cluster.generation = {"models": [model({"mode": "External"})]}, 2
        await cluster.look(1)
        assert cluster.scaler.status(KEY) == Told({})
        cluster.spec, cluster.generation = {"models": "what?"}, 3
        await cluster.look(1)
        assert cluster.scaler.status(KEY) is None, "of a spec that cannot be read all is kept"

    virtual_time.run(play())


def test_without_scaling_any_more_what_was_ours_goes_back_to_one():
    async def play():
        cluster = Cluster({})
        cluster.owners, cluster.replicas = [SCALER], 3
        await cluster.look(200, work=2)
        assert cluster.replicas == 1

    virtual_time.run(play())


PRICED: dict[str, Any] = {
    "models": [
        model({"min": 0, "max": 4}, accelerator={"type": "cpu"}, cost={"gpuHourUSD": "1.00"})
    ],
    "providers": [
        {
            "name": "openai",
            "apiKey": {"secretKeyRef": {"name": "openai", "key": "api-key"}},
            "models": [{"name": "gpt-4o", "prices": {"inputUSD": "0.05", "outputUSD": "0.10"}}],
        }
    ],
}
"""A replica that never earns its hour: the API does its work for less."""


@pytest.mark.parametrize(("local_only", "replicas"), [(0.0, 0), (0.2, 1)])
def test_the_price_takes_no_replica_from_requests_that_nobody_else_may_serve(
    local_only: float, replicas: int
):
    async def play():
        cluster = Cluster({}, replicas=1)
        cluster.spec = PRICED
        await cluster.look(80, work=0.2, local_only=local_only, step=15)
        assert cluster.replicas == replicas

    virtual_time.run(play())


def test_where_there_is_no_api_any_more_its_price_keeps_no_model_asleep():
    async def play():
        cluster = Cluster({}, replicas=1)
        cluster.spec = PRICED
        await cluster.look(80, work=0.2, step=15)
        assert cluster.replicas == 0
        cluster.spec, cluster.generation = {"models": PRICED["models"]}, 2
        await cluster.look(2, diverted=0.1)
        assert cluster.replicas == 1

    virtual_time.run(play())


def test_a_paused_resource_is_left_alone():
    async def play():
        cluster = Cluster({"max": 4})
        cluster.annotations = {"hybridinference.dev/paused": "true"}
        await cluster.look(20, work=2)
        assert cluster.log == []

    virtual_time.run(play())


def test_an_api_server_that_is_away_costs_nothing_but_time():
    async def play():
        cluster = Cluster({"max": 4}, replicas=2)
        cluster.refuse = Unavailable("away")
        await cluster.look(3, work=0.8)
        cluster.refuse = None
        await cluster.look(2, work=0.8)
        assert cluster.log == ["scale 2"]

    virtual_time.run(play())


def test_an_operator_that_does_not_lead_any_more_stops_in_the_middle_of_a_look():
    async def play():
        cluster = Cluster({"max": 4}, replicas=2)
        cluster.refuse = NotLeading()
        await cluster.look(3, work=0.8)
        assert (cluster.log, cluster.events) == ([], [])

    virtual_time.run(play())


def test_the_pool_bounds_what_models_get():
    async def play():
        cluster = Cluster({})
        gpu = {"accelerator": {"type": "a10g"}}
        cluster.spec = {"models": [model({"min": 1, "max": 4}, **gpu)]}
        cluster.start(pool=Pool({"a10g": 2}, {"ns": Share(1, 1.0)}))
        await cluster.look(2, work=5)
        await cluster.look(60, work=300)
        assert cluster.replicas == 2
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "Pool"

    virtual_time.run(play())


A10G = {"accelerator": {"type": "a10g"}}
PAUSED = {"hybridinference.dev/paused": "true"}
HOLDERS = [
    pytest.param({}, {}, id="a model whose number is fixed"),
    pytest.param({"mode": "External", "max": 4}, {}, id="one that another autoscaler scales"),
    pytest.param({"mode": "Recommend", "max": 4}, {}, id="one that is only recommended for"),
    pytest.param({"min": 1, "max": 4}, PAUSED, id="one whose resource is paused"),
]


@pytest.mark.parametrize(("scaling", "annotations"), HOLDERS)
def test_the_pool_is_what_others_leave_of_it(scaling, annotations):
    async def play():
        cluster = Cluster({})
        cluster.spec = {"models": [model({"min": 1, "max": 4}, **A10G)]}
        cluster.beside(3, model(scaling, **A10G), **annotations)
        cluster.start(pool=Pool({"a10g": 5}))
        await cluster.look(2, work=5)
        await cluster.look(60, work=300)
        assert cluster.replicas == 2
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "Pool"

    virtual_time.run(play())


def test_a_recommendation_is_what_the_load_asks_for_whatever_the_pool_has():
    async def play():
        cluster = Cluster({})
        cluster.spec = {"models": [model({"mode": "Recommend", "min": 1, "max": 4}, **A10G)]}
        cluster.start(pool=Pool({"a10g": 1}))
        await cluster.look(2, work=5)
        await cluster.look(60, work=300)
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["recommended"] == 4
        assert cluster.log == []

    virtual_time.run(play())


def test_a_quota_bounds_what_models_of_its_namespace_get():
    async def play():
        cluster = Cluster({})
        gpu = {"accelerator": {"type": "a10g", "count": 2}}
        cluster.spec = {"models": [model({"min": 1, "max": 4}, **gpu)]}
        # Of 9 GPUs somebody else has 4 and our one replica 2: room for one more, and a GPU is left.
        cluster.quotas = [Quota(hard=9, used=4), Quota(hard=99, used=4)]
        await cluster.look(2, work=5)
        await cluster.look(60, work=300)
        assert cluster.log == ["scale 1", "scale 2"]
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "Pool"
        cluster.quotas = [Quota(hard=2, used=1)]  # it takes nothing away
        await cluster.look(60, work=300)
        assert cluster.log == ["scale 1", "scale 2"]
        cluster.quotas = [Quota(hard=99, used=1)]
        await cluster.look(60, work=300)
        assert cluster.replicas == 4

    virtual_time.run(play())
