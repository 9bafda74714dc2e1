"""Looking at nodes, with and without the right to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hybrid_operator.control.nodes import NO_RIGHT, NodeLook
from hybrid_operator.core.state import Nodes, NodeView
from hybrid_operator.kube.errors import Forbidden
from hybrid_operator.kube.kinds import NODE, Kind

if TYPE_CHECKING:
    from hybrid_operator.control.cache import Children
    from hybrid_operator.kube.client import Kube

GPU = "nvidia.com/gpu"


class NodesOnly:
    """What the API server answers, or refuses."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed

    async def list(self, kind: Kind, _: str | None, **__: Any) -> Any:
        if not self._allowed:
            raise Forbidden(f"no right to list {kind.plural}")
        labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
        node = {"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {GPU: "4"}}}
        limits = {"resources": {"limits": {GPU: "3"}}}
        pod = {"spec": {"containers": [limits]}, "status": {"phase": "Running"}}
        return SimpleNamespace(items=[node if kind is NODE else pod])


def looked(*, allowed: bool, unschedulable: bool = True) -> tuple[Nodes, int]:
    """Return what is known after a look, and how often the change was told."""
    told: list[None] = []

    async def run() -> Nodes:
        children = cast("Children", SimpleNamespace(unschedulable=lambda: unschedulable))
        kube = cast("Kube", NodesOnly(allowed=allowed))
        look = NodeLook(kube, children, lambda: told.append(None))
        task = asyncio.create_task(look.run())
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        return look.nodes

    return asyncio.run(run()), len(told)


def test_nodes_are_looked_at_while_a_pod_finds_none():
    view = NodeView("n", "NVIDIA-L4", 23034, {GPU: 4}, {GPU: 3})
    assert looked(allowed=True) == (Nodes((view,)), 1)


def test_without_the_right_it_says_what_is_not_known():
    assert looked(allowed=False) == (Nodes(unknown=NO_RIGHT), 1)


def test_nodes_are_left_alone_while_every_pod_has_one():
    assert looked(allowed=True, unschedulable=False) == (Nodes(), 0)
