"""A cluster of dicts for the autoscaling loop: one resource, one model, pods that say things."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hybrid_operator.control import autoscaler
from hybrid_operator.control.autoscaler import Autoscaler
from hybrid_operator.control.cache import Children, Resources
from hybrid_operator.core import naming
from hybrid_operator.core.scaling.quota import Quota, Quotas
from hybrid_operator.core.state import Event, Owner, Settings
from hybrid_operator.kube.kinds import CHILDREN, POD, Key
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
        self.diverted = self.local_only = self.passed = 0.0
        self.looked = 0.0
        """When the last look began: it takes the second over which pods are asked."""
        self.hung: set[str] = set()
        self.quotas = [Quota(hard=99, used=0)]
        """Besides what the pods here hold: two GPUs each."""
        self.scalers: dict[str, str] | None = None
        """Other autoscalers that there are; None: the API server does not tell."""
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
            self.look_at_scalers,
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

    def beside(self, replicas: int, spec: dict[str, Any], **annotations: str) -> None:
        """Show another resource with a model `m` and its Deployment; no test changes them."""
        base = {"namespace": "ns", "resourceVersion": "1"}
        self.resources.accept(
            "ADDED",
            {
                "metadata": base
                | {"name": "beside", "uid": "b", "annotations": annotations, "generation": 1},
                "spec": {"models": [spec]},
                "status": {},
            },
        )
        self.children.upsert(
            CHILDREN["Deployment"],
            {
                "kind": "Deployment",
                "metadata": base
                | {"name": naming.engine("beside", "m"), "uid": "c", "managedFields": []}
                | {"labels": naming.engine_selector("beside", "m")},
                "spec": {"replicas": replicas},
                "status": {"readyReplicas": replicas},
            },
        )

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
        self,
        times: int = 1,
        work: float = 0.0,
        diverted: float = 0.0,
        step: float = 3,
        *,
        local_only: float = 0.0,
    ) -> None:
        """Let `step` seconds pass and look, so often; replicas do `work` of a CPU's capacity."""
        for _ in range(times):
            for name in self.generated:
                self.generated[name] += work * 60 * step
            self.diverted += diverted * 60 * step
            self.local_only += local_only * 60 * step
            self.show()
            await asyncio.sleep(max(self.looked + step - virtual_time.now(), 0.0))
            self.looked = virtual_time.now()
            await self.scaler.look()

    async def look_at_quotas(self) -> Quotas:
        held = 2 * min(self.replicas, 4)
        used = [Quota(each.hard, each.used + held) for each in self.quotas]
        return {("ns", "nvidia.com/gpu"): used, ("else", "nvidia.com/gpu"): [Quota(0, 0)]}

    async def look_at_scalers(self, namespace: str) -> dict[str, str] | None:
        assert namespace == "ns"
        return self.scalers

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
                'hinf_router_local_only_tokens_total{backend="local/m",kind="completion"} '
                f"{self.local_only}\n"
                f'hinf_router_passed_requests_total{{backend="local/m"}} {self.passed}\n'
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
