"""The operator as a whole: which part feeds which, and which task runs what."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hybrid_operator import handlers
from hybrid_operator.control import autoscaler
from hybrid_operator.control.autoscaler import Autoscaler
from hybrid_operator.control.cache import Children, Resources
from hybrid_operator.control.leader import Elector
from hybrid_operator.control.nodes import NodeLook
from hybrid_operator.control.quotas import QuotaLook
from hybrid_operator.control.reconcile import Hands, Reconciler, World
from hybrid_operator.control.scalers import ScalerLook
from hybrid_operator.control.workers import Result, Workers
from hybrid_operator.core.naming import MANAGER
from hybrid_operator.core.plan import plan
from hybrid_operator.kube.events import Recorder
from hybrid_operator.kube.kinds import CHILDREN, MANAGED_BY_LABEL, POD, RESOURCE, Key
from hybrid_operator.kube.lease import NAME, LeaseStore
from hybrid_operator.kube.watch import Follower
from hybrid_operator.kube.writer import Writer
from hybrid_operator.metrics.gather import Gatherer
from hybrid_operator.metrics.own import OwnMetrics
from hybrid_operator.metrics.scrape import Scraper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_operator.control.cache import Family
    from hybrid_operator.kube.client import Kube
    from hybrid_operator.metrics.fetch import Fetch
    from hybrid_operator.settings import OperatorSettings

log = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
"""An event loop that did nothing for so long will not recover: the liveness probe fails."""
CRD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Ports to serve at, on all addresses; 0 for not at all."""

    health: int
    metrics: int


@dataclass(slots=True)
class _Pulse:
    """Signs of life, written by our loop and read by kopf's thread; monotonic seconds."""

    beat: float
    event: float | None = None
    reconcile: float | None = None


class Operator:
    """One operator process."""

    def __init__(
        self, kube: Kube, fetch: Fetch, settings: OperatorSettings, lease_namespace: str
    ) -> None:
        """Assemble; nothing runs and nothing is sent before `run`.

        Args:
            kube: The API server.
            fetch: Gets a router pod's metrics.
            settings: From the environment.
            lease_namespace: Where the Lease stands.
        """
        self._kube = kube
        self._settings = settings
        self._pulse = _Pulse(time.monotonic())
        self._metrics = OwnMetrics()
        store = LeaseStore(kube, Key(lease_namespace, NAME), MANAGER)
        self._elector = Elector(store, settings.identity, _now, time.monotonic, random.random)
        writer = Writer(kube, MANAGER, self._elector.leading, self._metrics.write)
        self._workers = Workers(self._reconcile, random.random)
        self._resources = Resources(self._workers.add)
        self._children = Children(self._family_changed)
        self._scraper = Scraper(self._resources, self._children, fetch, self._workers.add, _now)
        self._nodes = NodeLook(kube, self._children, self._all)
        asked = QuotaLook(kube, settings.namespaces), ScalerLook(kube)
        gatherer, platform = Gatherer(fetch, self._scraper.overhear), settings.platform
        self._autoscaler = Autoscaler(
            autoscaler.World(self._resources, self._children, platform, gatherer, *asked),
            autoscaler.Hands(writer, Recorder(writer, _now, NAME), self._metrics.scaling),
            self._workers.add,
            _now,
        )
        self._reconciler = Reconciler(
            World(
                self._resources,
                self._children,
                self._scraper,
                platform,
                lambda: self._nodes.nodes,
                self._autoscaler.status,
            ),
            Hands(kube, writer, Recorder(writer, _now, NAME), self._metrics),
            plan,
            _now,
            random.random,
        )
        self._followers = self._follow()
        self._metrics.follow(
            lambda: self._workers.depth, self._elector.leading, self._reconciler.states
        )

    async def run(self, endpoints: Endpoints) -> None:
        """Run until cancelled, then stop every task and give the Lease back.

        Raises:
            ExceptionGroup: a part that must run has failed.
        """
        await self._wait_for_crd()
        loop = asyncio.get_running_loop()
        intake = functools.partial(_hand_over, loop, self._accept)
        health = f"http://0.0.0.0:{endpoints.health}/healthz" if endpoints.health else None
        registry = handlers.registry(intake, self._probe)
        watch = handlers.Watch(registry, self._settings.namespaces, health)
        with self._metrics.served(endpoints.metrics):
            async with asyncio.TaskGroup() as group:
                for follower in self._followers:
                    group.create_task(follower.run(random.random))
                group.create_task(watch.run(), name="watch of HybridInferences")
                group.create_task(self._beat(), name="heartbeat")
                group.create_task(self._elector.run(self._lead), name="leader election")

    async def _lead(self) -> None:
        """Reconcile, once every cache is filled.

        Before, a child that we have not heard of would be taken for one that is missing.
        """
        for follower in self._followers:
            await follower.synced.wait()
        self._reconciler.begin()
        await self._nodes.first()
        self._all()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scraper.run(), name="scrape routers")
            group.create_task(self._nodes.run(), name="look at nodes")
            group.create_task(self._autoscaler.run(), name="autoscaling")
            group.create_task(self._workers.run(), name="reconcile")

    async def _reconcile(self, key: Key) -> Result:
        try:
            return await self._reconciler.reconcile(key)
        finally:
            self._pulse.reconcile = time.monotonic()

    async def _wait_for_crd(self) -> None:
        said = False
        while not await self._kube.serves(RESOURCE):
            if not said:
                log.error(
                    "the CRD of %s is not installed; waiting for it (the chart brings it, or: "
                    "kubectl apply -f crds/)",
                    RESOURCE.api_version,
                )
                said = True
            await asyncio.sleep(CRD_SECONDS)

    async def _beat(self) -> None:
        while True:
            self._pulse.beat = time.monotonic()
            await asyncio.sleep(1.0)

    def _follow(self) -> list[Follower]:
        selector = f"{MANAGED_BY_LABEL}={MANAGER}"
        return [
            Follower(self._kube, self._children, kind, namespace, selector)
            for kind in (*CHILDREN.values(), POD)
            for namespace in (self._settings.namespaces or (None,))
        ]

    def _all(self) -> None:
        for key in self._resources:
            self._workers.add(key)

    def _accept(self, event: str | None, obj: Mapping[str, Any]) -> None:
        self._pulse.event = time.monotonic()
        self._resources.accept(event, obj)

    def _family_changed(self, family: Family) -> None:
        key = self._resources.of(family)
        if key is not None:
            self._workers.add(key)

    def _probe(self) -> Mapping[str, Any]:
        """Say how we are; in kopf's thread, so that it answers when our loop does not."""
        now, pulse = time.monotonic(), self._pulse
        if now - pulse.beat > STUCK_SECONDS:
            raise handlers.Unhealthy(f"the event loop has been stuck for {now - pulse.beat:.0f} s")
        return {
            "secondsSinceEvent": _age(now, pulse.event),
            "secondsSinceReconcile": _age(now, pulse.reconcile),
            "synced": all(follower.synced.is_set() for follower in self._followers),
            "leader": self._metrics.leading,
        }


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    accept: Callable[[str | None, Mapping[str, Any]], None],
    event: str | None,
    obj: Mapping[str, Any],
) -> None:
    """Pass an event from kopf's thread to ours; once we have stopped, nobody needs it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(accept, event, obj)


def _age(now: float, then: float | None) -> float | None:
    return None if then is None else round(now - then, 1)


def _now() -> datetime:
    return datetime.now(UTC)
