"""Schedulable: what nodes offer, told apart, beside the scheduler's own words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hybrid_operator.core.placement import Wanted, explain
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Nodes, NodeView
from tests.support.resources import NOW
from tests.support.states import unscheduled

GPU = "nvidia.com/gpu"
A10G = Wanted(GPU, 1, ("NVIDIA-A10G", "NVIDIA-A10G-SHARED"), 23028)


def node(product: str = "NVIDIA-A10G", count: int = 4, taken: int = 0, memory: int = 23028):
    return NodeView("n", product, memory, {GPU: count}, {GPU: taken})


@pytest.mark.parametrize(
    ("wanted", "nodes", "reason", "expected"),
    [
        pytest.param(A10G, [], "NoSuchGPU", "no node offers nvidia.com/gpu", id="no GPU at all"),
        pytest.param(
            A10G,
            [node("NVIDIA-L4"), node("NVIDIA-L4"), node("")],
            "NoSuchGPU",
            "no node has this GPU: NVIDIA-A10G is wanted, and nodes have 8 x NVIDIA-L4 "
            "(accelerator.type l4), 4 without the label nvidia.com/gpu.product (GPU Feature "
            "Discovery sets it)",
            id="another GPU, and one without a label",
        ),
        pytest.param(
            A10G,
            [node("NVIDIA-A40", 3), node("NVIDIA-L4", 8), node("NVIDIA-L40", 2), node("Tesla-T4")],
            "NoSuchGPU",
            "no node has this GPU: NVIDIA-A10G is wanted, and nodes have 8 x NVIDIA-L4 "
            "(accelerator.type l4), 4 x Tesla-T4 (accelerator.type t4), 3 x NVIDIA-A40 "
            "(accelerator.type a40), 1 more kind",
            id="more kinds than there is room for",
        ),
        pytest.param(
            A10G,
            [node(count=2, taken=1), node(count=2, taken=2)],
            None,
            "",
            id="one is free, so the scheduler's reason is another one",
        ),
        pytest.param(
            replace(A10G, count=2),
            [node(count=4, taken=3)],
            "GPUsTaken",
            "3 of 4 such GPUs on 1 node are taken, and a replica needs 2 free on one node",
            id="three of four are taken",
        ),
        pytest.param(
            A10G,
            [node(count=2, taken=2), node(count=2, taken=2)],
            "GPUsTaken",
            "4 of 4 such GPUs on 2 nodes are taken",
            id="all are taken",
        ),
        pytest.param(
            replace(A10G, count=8),
            [node()],
            "TooFewGPUs",
            "a replica needs 8 GPUs on one node, and no node has over 4",
            id="more than any node has",
        ),
        pytest.param(
            Wanted(GPU, 1, (), 40960),
            [node(memory=23028), node(memory=15360)],
            "WrongGPUMemory",
            "wrong GPU memory: 40960 MiB are needed per GPU, and the nodes' label "
            "nvidia.com/gpu.memory says 15360, 23028",
            id="GPUs that are too small",
        ),
        pytest.param(
            Wanted("nvidia.com/mig-1g.10gb", 1),
            [node()],
            "NoSuchGPU",
            "no node offers nvidia.com/mig-1g.10gb",
            id="a slice that no node has",
        ),
    ],
)
def test_what_nodes_lack_is_named(wanted, nodes, reason, expected):
    found = explain(wanted, Nodes(tuple(nodes)))
    assert (found.reason, found.message) == (reason, expected) if found else reason is None


def test_nothing_is_said_before_nodes_were_looked_at():
    assert explain(A10G, Nodes()) is None


def test_without_rights_the_condition_says_what_is_not_known():
    (message,) = _schedulable(Nodes(unknown="the operator has no right to list nodes"))
    assert message == (
        "model llama-3-8b: whether any node has such a GPU is not known: the operator has no right "
        "to list nodes; the scheduler says: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )


def test_the_pod_is_created_all_the_same():
    seen = replace(unscheduled(), nodes=Nodes(()))
    assert plan(seen, NOW).delete == ()
    assert _schedulable(Nodes(()))[0].startswith("model llama-3-8b: no node offers nvidia.com/gpu;")


def _schedulable(nodes: Nodes) -> list[str]:
    found = plan(replace(unscheduled(), nodes=nodes), NOW).status["conditions"]
    return [each["message"] for each in found if each["type"] == "Schedulable"]
