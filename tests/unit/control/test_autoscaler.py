"""The autoscaling loop: whose replicas it sets, when it leaves them alone, and what it tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hybrid_operator.control import autoscaler
from hybrid_operator.control.autoscaler import Autoscaler
from hybrid_operator.control.cache import Children, Resources
from hybrid_operator.control.status import add_scaling
from hybrid_operator.core import naming
from hybrid_operator.core.scaling.quota import Quota, Quotas
from hybrid_operator.core.state import Event, Owner, Pool, Settings, Share
from hybrid_operator.kube.errors import Unavailable
from hybrid_operator.kube.kinds import CHILDREN, POD, Key
from hybrid_operator.kube.writer import NotLeading
from hybrid_operator.metrics.fetch import FetchError
from hybrid_operator.metrics.gather import Gatherer
from hybrid_operator.metrics.own import OwnMetrics
from tests.support import virtual_time

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("ns", "support")
ENGINE = naming.engine("support", "m")
OURS = {"manager": "hybridinference", "operation": "Apply"}
SCALER = {
    "manager": "hybridinference-autoscaler",
    "operation": "Apply",
    "subresource": "scale",
}
HPA = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale"}
OWNS: dict[str, Any] = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}


class Cluster:
    """One resource with one model, whose pods say what a test wants; writes change it."""

    def __init__(self, scaling: dict[str, Any], replicas: int = 1, **spec: Any) -> None:
        self.version = 0
        self.generation = 1
        self.log: list[str] = []
        self.events: list[Event] = []
        self.news: list[Key] = []
        self.replicas = replicas
        self.owners: list[dict[str, Any]] = [OURS]
        self.refuse: Exception | None = None
        self.generated = dict.fromkeys(("e1", "e2", "e3", "e4"), 0.0)
        self.diverted = 0.0
        self.hung: set[str] = set()
        self.quotas = [Quota(hard=99, used=0)]
        """Besides what the pods here hold: two GPUs each."""
        self.pages: dict[str, str] = {}
        """What pods say instead."""
        self.status: dict[str, Any] = {}
        self.ahead = timedelta()
        self.annotations: dict[str, str] = {}
        self.spec = {"models": [model(scaling)]} | spec
        self.resources = Resources(lambda _: None)
        self.children = Children(lambda _: None)
        self.start()

    def start(self, **settings: Any) -> None:
        """Start a new process of ours."""
        world = autoscaler.World(
            self.resources,
            self.children,
            Settings(router_image="r", **settings),
            Gatherer(self.fetch),
            self.look_at_quotas,
        )
        hands = autoscaler.Hands(self, self, OwnMetrics().scaling)  # type: ignore[arg-type]
        self.scaler = Autoscaler(world, hands, self.news.append, self.now)

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=virtual_time.now()) + self.ahead

    def show(self) -> None:
        self.version += 1
        labels = naming.engine_selector("support", "m")
        base = {"namespace": "ns", "resourceVersion": str(self.version)}
        managed = [each | OWNS for each in self.owners]
        self.resources.accept(
            "MODIFIED",
            {
                "metadata": base
                | {"name": "support", "uid": "u", "annotations": self.annotations}
                | {"generation": self.generation},
                "spec": self.spec,
                "status": self.status,
            },
        )
        self.children.upsert(
            CHILDREN["Deployment"],
            {
                "kind": "Deployment",
                "metadata": base
                | {"name": ENGINE, "uid": "d", "managedFields": managed}
                | {"labels": labels},
                "spec": {"replicas": self.replicas},
                "status": {"readyReplicas": self.replicas},
            },
        )
        names = [f"e{n + 1}" for n in range(4)]
        for name in names:
            pod = self.pod(name, labels)
            if name in names[: self.replicas]:
                self.children.upsert(POD, pod)
            else:
                self.children.remove(POD, pod)
        self.children.upsert(POD, self.pod("r", naming.router_selector("support")))

    def pod(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        return {
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": f"uid-{name}",
                "labels": labels,
                "resourceVersion": str(self.version),
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }

    async def look(
        self, times: int = 1, work: float = 0.0, diverted: float = 0.0, step: float = 3
    ) -> None:
        """Let `step` seconds pass and look, so often; replicas do `work` of a CPU's capacity."""
        for _ in range(times):
            for name in self.generated:
                self.generated[name] += work * 60 * step
            self.diverted += diverted * 60 * step
            self.show()
            await asyncio.sleep(step)
            await self.scaler.look()

    async def look_at_quotas(self) -> Quotas:
        held = 2 * min(self.replicas, 4)
        used = [Quota(each.hard, each.used + held) for each in self.quotas]
        return {("ns", "nvidia.com/gpu"): used, ("else", "nvidia.com/gpu"): [Quota(0, 0)]}

    async def fetch(self, pod: Mapping[str, Any]) -> str:
        name = pod["metadata"]["name"]
        if name in self.hung:
            raise FetchError("no answer within 2 s")
        if name in self.pages:
            return self.pages[name]
        if name == "r":
            head = 'backend="local/m",reason="local-unavailable"'
            return (
                f"hinf_router_diverted_requests_total{{{head}}} {self.diverted}\n"
                f'hinf_router_diverted_tokens_total{{{head},kind="completion"}} {self.diverted}\n'
            )
        return (
            f"vllm:prompt_tokens_total 0\nvllm:generation_tokens_total {self.generated[name]}\n"
            f"vllm:num_requests_running {1 + int(name[1])}\n"
        )

    # what a Writer and a Recorder do

    async def scale(self, key: Key, replicas: int) -> None:
        assert key == Key("ns", ENGINE)
        if self.refuse is not None:
            raise self.refuse
        self.log.append(f"scale {replicas}")
        self.replicas = replicas
        self.owners = [OURS, SCALER] if OURS in self.owners else [SCALER]

    async def deletion_cost(self, key: Key, cost: int) -> None:
        self.log.append(f"{key.name} costs {cost}")

    async def record(self, owner: Owner, event: Event) -> None:
        assert owner.name == "support"
        self.events.append(event)


def model(scaling: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return (
        {"name": "m", "catalog": "llama-3-8b", "accelerator": {"type": "cpu"}}
        | ({"scaling": scaling} if scaling else {})
        | fields
    )


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
        assert (cluster.log, cluster.scaler.status(KEY)) == ([], None)

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


def test_without_requests_it_sleeps_again_and_the_least_busy_pod_goes_first():
    async def play():
        cluster = Cluster({"min": 0, "max": 4, "idleAfter": "1m"}, replicas=2)
        cluster.generated.update(e1=5.0)
        await cluster.look(200)
        return cluster

    cluster = virtual_time.run(play())
    # Requests run at both all the time here, so neither sleeps; the surplus one goes.
    assert cluster.log[:4] == ["scale 2", "e1 costs 2", "e2 costs 3", "scale 1"]


def test_a_hung_engine_takes_no_replica_away():
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(3)
        cluster.hung = {"e2"}
        await cluster.look(300)
        assert cluster.log == ["scale 3"]
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "NoMetrics"

    virtual_time.run(play())


LEAST_PAGE = "vllm:prompt_tokens_total 0\nvllm:generation_tokens_total 0\n"
BAD_PAGES = [
    pytest.param("e2", "", id="an engine that says nothing"),
    pytest.param("e2", "<html>502</html>", id="an engine behind a broken proxy"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_running NaN\n", id="an engine with NaN"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_waiting -1\n", id="fewer than none wait"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_running", id="an engine's page cut short"),
    pytest.param("e2", LEAST_PAGE + "x 1\n" * 100_001, id="an engine's page without end"),
    pytest.param("r", "hinf_router_requests_waiting{", id="a router's page cut short"),
    pytest.param("r", 'hinf_router_requests_waiting{backend="local/m"} NaN\n', id="router's NaN"),
    pytest.param("r", "hinf_router_requests_waiting 1\n", id="a router that names no backend"),
    pytest.param(
        "r",
        'hinf_router_diverted_requests_total{backend="local/m",reason="x"} +Inf\n',
        id="a router that diverted infinitely many",
    ),
]


@pytest.mark.parametrize(("pod", "page"), BAD_PAGES)
def test_a_page_that_makes_no_sense_takes_no_replica_away(pod: str, page: str):
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(3)
        cluster.pages = {pod: page}
        await cluster.look(14, step=30)
        assert cluster.log == ["scale 3"]
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "NoMetrics"
        cluster.pages = {}
        await cluster.look(14, step=30)
        assert cluster.replicas < 3

    virtual_time.run(play())


def test_pages_of_10_000_lines_and_counters_that_go_back_are_no_reason_to_hold():
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        long = LEAST_PAGE + 'vllm:request_success_total{reason="stop"} 1\n' * 10_000
        for look in range(14):
            again = LEAST_PAGE.replace("tokens_total 0", f"tokens_total {100 - look % 3}")
            cluster.pages = {"e1": long, "e2": again}
            await cluster.look(step=30)
        assert cluster.replicas < 3

    virtual_time.run(play())


def test_a_clock_that_jumps_scales_nothing():
    async def play():
        cluster = Cluster({"max": 4, "idleAfter": "10m"}, replicas=2)
        await cluster.look(20, work=0.8)
        before = list(cluster.log)
        for hours in (24 * 400, -24 * 400, 5, 0):
            cluster.ahead = timedelta(hours=hours)
            await cluster.look(5, work=0.8)
        assert cluster.log == before

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
        cluster.owners = [{**HPA, "manager": "kubectl"}]  # somebody deleted the HPA and took it
        await cluster.look(10, work=0.8)
        assert cluster.log == ["scale 2", "scale 3"]

    virtual_time.run(play())


def test_without_scaling_any_more_what_was_ours_goes_back_to_one():
    async def play():
        cluster = Cluster({})
        cluster.owners, cluster.replicas = [SCALER], 3
        await cluster.look(200, work=2)
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
            "decisions": ["2025-12-31T23:00Z 2>1 Demand"],
        }

    virtual_time.run(play())


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


def test_the_long_memory_outlives_the_process_and_is_told_every_ten_minutes_at_most():
    """Peaks that a dear API would answer keep replicas, however short ago the operator started."""

    def written(cluster: Cluster) -> dict[str, Any]:
        """Write the status as the reconciler does."""
        planned: dict[str, Any] = {"models": [{"name": "m"}]}
        add_scaling(planned, cluster.status, cluster.scaler.status(KEY))
        return planned

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
        assert len(texts[-1]) <= 1536
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
