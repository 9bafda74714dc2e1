"""Looking at the cluster's nodes, only while a pod of ours finds none that will do."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hybrid_operator.control import observe
from hybrid_operator.core.state import Nodes, NodeView
from hybrid_operator.kube.errors import Forbidden, KubeError
from hybrid_operator.kube.kinds import NODE, POD

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.control.cache import Children
    from hybrid_operator.kube.client import Kube

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
PERIOD_SECONDS = 15.0
REFUSED_SECONDS = 300.0
NO_RIGHT = (
    "the operator has no right to list nodes (the chart grants it where the operator serves all "
    "namespaces)"
)


class NodeLook:
    """What the nodes offered when they were last looked at."""

    def __init__(self, kube: Kube, children: Children, changed: Callable[[], None]) -> None:
        """Know nothing yet; `changed` is called when what is known has changed."""
        self._kube = kube
        self._children = children
        self._changed = changed
        self.nodes = Nodes()

    async def first(self) -> None:
        """Look at once, if a pod is unschedulable: what is judged next is judged by it."""
        if self._children.unschedulable():
            await self._look()

    async def run(self) -> None:
        """Look every 15 s while a pod is unschedulable, until cancelled."""
        while True:
            delay = TICK_SECONDS
            if self._children.unschedulable():
                delay = await self._look()
            await asyncio.sleep(delay)

    async def _look(self) -> float:
        delay = PERIOD_SECONDS
        try:
            found = Nodes(await self._views())
        except Forbidden:
            found, delay = Nodes(unknown=NO_RIGHT), REFUSED_SECONDS
        except KubeError as error:
            log.warning("%s; trying again", error)
            return delay
        if found != self.nodes:
            self.nodes = found
            self._changed()
        return delay

    async def _views(self) -> tuple[NodeView, ...]:
        page = await self._kube.list(NODE, None)
        offering = [
            each
            for each in page.items
            if observe.extended((each.get("status") or {}).get("allocatable"))
        ]
        views = []
        for each in offering:
            name = each["metadata"]["name"]
            pods = await self._kube.list(POD, None, fields=f"spec.nodeName={name}")
            views.append(observe.node(each, pods.items))
        return tuple(sorted(views, key=lambda view: view.name))
