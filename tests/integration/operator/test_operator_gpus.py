"""GPUs that nodes have, have not, or have given away, and models that fit on none of them.

The nodes of these tests are objects without a kubelet, tainted so that nothing lands on them.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from hybrid_operator.core import naming
from tests.support.operators import MERGE, Cluster, model, resource, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2 as httpx

pytestmark = pytest.mark.timeout(240)
NODES = "/api/v1/nodes"
GPU = "nvidia.com/gpu"
SCHEDULER = "; the scheduler says: 0/"


class Nodes:
    """Nodes with GPUs, of one test."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self.names: list[str] = []

    def add(self, product: str, memory_mib: int, gpus: int) -> str:
        """Add a node as NVIDIA's feature discovery and device plugin describe it."""
        name = f"hinf-gpus-{uuid.uuid4().hex[:8]}"
        labels = {
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.memory": str(memory_mib),
            "nvidia.com/gpu.count": str(gpus),
        }
        taint = {"key": "hybridinference.dev/tests", "effect": "NoSchedule"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [taint]},
        }
        assert self._http.post(NODES, json=node).is_success
        self.names.append(name)
        size = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: str(gpus)}
        status = {"status": {"capacity": size, "allocatable": size}}
        answer = self._http.patch(f"{NODES}/{name}/status", json=status, headers=MERGE)
        assert answer.is_success, answer.text
        return name

    def remove(self) -> None:
        """Take every node away again."""
        for name in self.names:
            self._http.delete(f"{NODES}/{name}")


@pytest.fixture
def nodes(api: httpx.Client) -> Iterator[Nodes]:
    """Nodes that are gone after the test."""
    made = Nodes(api)
    yield made
    made.remove()


def _holding(name: str, node: str, gpus: int) -> dict[str, Any]:
    container = {
        "name": "work",
        "image": "example.com/work:test",
        "resources": {"limits": {GPU: str(gpus)}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [container]},
    }


def _told(cluster: Cluster, name: str, reason: str) -> Callable[[], str]:
    def look() -> str:
        found = cluster.conditions(name).get("Schedulable", {})
        return str(found.get("message", "")) if found.get("reason") == reason else ""

    return look


def _wants(gpu: str, **more: Any) -> dict[str, Any]:
    return model(accelerator={"type": gpu} | more)


@pytest.mark.parametrize(
    ("gpu", "has", "holds", "says"),
    [
        pytest.param(
            {"gpu": "l4"},
            ("Tesla-T4", 15360, 4),
            0,
            ("NoSuchGPU", "no node has this GPU: NVIDIA-L4 is wanted, and nodes have"),
            id="another kind of GPU",
        ),
        pytest.param(
            {"gpu": "h100"},
            ("NVIDIA-H100-80GB-HBM3", 40960, 4),
            0,
            (
                "WrongGPUMemory",
                "wrong GPU memory: 81559 MiB are needed per GPU",
            ),
            id="the right kind with less memory",
        ),
        pytest.param(
            {"gpu": "l40s", "count": 2},
            ("NVIDIA-L40S", 46068, 4),
            3,
            (
                "GPUsTaken",
                "3 of 4 such GPUs on 1 node are taken, and a replica needs 2 free on one node",
            ),
            id="too few are free",
        ),
        pytest.param(
            {"gpu": "a40", "count": 4},
            ("NVIDIA-A40", 46068, 2),
            0,
            ("TooFewGPUs", "a replica needs 4 GPUs on one node, and no node has over 2"),
            id="too few on any node",
        ),
    ],
)
def test_why_no_node_will_do_is_told_apart(cluster: Cluster, nodes: Nodes, gpu, has, holds, says):
    reason, message = says
    node = nodes.add(*has)
    name = f"on-{has[0].lower().split('-')[1]}"
    if holds:
        cluster.create(_holding(f"{name}-holder", node, holds))
    cluster.apply(resource(name, _wants(gpu["gpu"], count=gpu.get("count", 1))))
    said = until(_told(cluster, name, reason), f"Schedulable says {reason}", 90)
    assert message in said
    assert SCHEDULER in said
    selector = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=engine"
    assert cluster.all("Pod", selector), "the pod is made all the same, for node autoscalers"


def test_a_model_that_cannot_fit_starts_only_when_it_is_insisted_on(cluster: Cluster):
    wanted = resource("large", model("phi-4", catalog="phi-4"))
    cluster.apply(wanted)
    until(lambda: cluster.observed("large"), "the resource is acted on")
    until(lambda: "Fits" in cluster.conditions("large"), "Fits is judged")
    found = cluster.conditions("large")["Fits"]
    assert (found["status"], found["reason"]) == ("False", "DoesNotFit")
    assert "weights take 27.3" in found["message"]
    assert "hybridinference.dev/ignore-fit" in found["message"]
    engine = naming.engine("large", "phi-4")
    assert cluster.get("Deployment", engine) is None
    (memory,) = cluster.read("HybridInference", "large")["status"]["models"]
    assert memory["memory"], "what was planned stands in the status"
    wanted["metadata"]["annotations"] = {"hybridinference.dev/ignore-fit": "true"}
    cluster.apply(wanted)
    until(lambda: cluster.get("Deployment", engine), "the engine is made on insistence")
