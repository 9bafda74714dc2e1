"""What stands in for kubelets and controllers: Deployments get ready, and pods answer scrapes.

Pods of kwok would not do: nothing answers at their addresses, and without an answer of its routers
a resource never gets ready. Here every pod has a loopback address of its own (127.0.0.0/8), by
which one server on all addresses knows whose metrics to tell.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hybrid_operator.kube.errors import AlreadyExists, Conflict, NotFound, Unavailable
from hybrid_operator.kube.kinds import CHILDREN, POD, RESOURCE, Key, key_of
from hybrid_operator.kube.watch import Follower
from hybrid_router.table import content_hash
from tests.perf import pages
from tests.perf.pages import EnginePage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hybrid_operator.kube.client import Kube
    from hybrid_operator.kube.kinds import Kind

Object = dict[str, Any]
T = TypeVar("T")

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
WORKERS = 16
KEPT_SECONDS = 5.0
"""For which an engine keeps a connection that says nothing, as vLLM does."""


@dataclass
class Fleet:
    """Takes part in a `watch.Follower` of each kind as its sink."""

    kube: Kube
    port: int
    """Where all routers answer."""
    seen: Callable[[Kind, Object], None]
    """Told of every resource and of every table that arrives."""
    hashes: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    """Of which resource a router answers at an address; at all others, engines do."""
    silent: frozenset[str] = frozenset()
    """Addresses of which nobody gets an answer."""
    scrapes: int = 0
    """Of routers."""
    engine_scrapes: int = 0
    _engine_page: EnginePage = field(default_factory=EnginePage)
    _pods_made: int = 0
    _todo: asyncio.Queue[Object] = field(default_factory=asyncio.Queue)

    async def resume(self) -> None:
        """Take over the pods that an earlier run has left."""
        for pod in (await self.kube.list(POD, "default")).items:
            labels = pod["metadata"]["labels"]
            self.port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
            self._pods_made += 1
            if labels[COMPONENT] == "router":
                self.addresses[pod["status"]["podIP"]] = labels[INSTANCE]

    async def run(self) -> None:
        """Work until cancelled."""
        async with await self.serve(), asyncio.TaskGroup() as group:
            for kind in (RESOURCE, CHILDREN["ConfigMap"], CHILDREN["Deployment"]):
                follower = Follower(self.kube, self, kind, "default", "")
                group.create_task(follower.run(lambda: 0.0))
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def serve(self) -> asyncio.Server:
        """Answer scrapes until the server is closed."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Scraped(self), "0.0.0.0", self.port)  # noqa: S104  the whole loopback

    def keep(self, kind: Kind, obj: Object) -> Object:
        del kind
        return obj

    def replace(
        self, kind: Kind, namespace: str | None, items: Sequence[Mapping[str, Any]], version: str
    ) -> None:
        del namespace, version
        for item in items:
            self.upsert(kind, item)

    def upsert(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        found = dict(obj)
        if kind.name == "Deployment":
            generation = (found.get("status") or {}).get("observedGeneration")
            if generation != found["metadata"]["generation"]:
                self._todo.put_nowait(found)
            return
        if kind.name == "ConfigMap":
            name = (found["metadata"].get("labels") or {}).get(INSTANCE, "")
            for document in (found.get("data") or {}).values():
                self.hashes[name] = content_hash(document.encode())
        self.seen(kind, found)

    def remove(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        del kind, obj

    def is_router(self, address: str) -> bool:
        """Whether a router answers at an address."""
        return address in self.addresses

    def metrics(self, address: str) -> bytes:
        """Return what the router or the engine at an address says."""
        name = self.addresses.get(address)
        if name is None:
            self.engine_scrapes += 1
            return self._engine_page()
        self.scrapes += 1
        return pages.router(self.hashes.get(name))

    async def _work(self) -> None:
        while True:
            deployment = await self._todo.get()
            try:
                await insist(partial(self._pods, deployment))
                await insist(partial(self._ready, deployment))
            except (Conflict, NotFound):
                continue

    async def _ready(self, deployment: Object) -> None:
        replicas = deployment["spec"]["replicas"]
        metadata = deployment["metadata"]
        fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        status = dict.fromkeys(fields, replicas) | {"observedGeneration": metadata["generation"]}
        await self._status(CHILDREN["Deployment"], deployment, status)

    async def _pods(self, deployment: Object) -> None:
        template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
        labels = template["metadata"]["labels"]
        for number in range(deployment["spec"]["replicas"]):
            address = self.address(labels)
            container = {
                "name": labels[COMPONENT],
                "image": "bench",
                "ports": [{"name": "http", "containerPort": self.port}],
            }
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"{name}-{number}", "namespace": "default", "labels": labels},
                "spec": {"containers": [container], "automountServiceAccountToken": False},
            }
            try:
                made = await self.kube.create(POD, pod, manager="bench")
            except AlreadyExists:
                continue
            conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "PodScheduled")]
            status = {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": conditions,
            }
            await self._status(POD, made, status)

    def address(self, labels: Mapping[str, str]) -> str:
        """Return an address for another pod."""
        self._pods_made += 1
        count = self._pods_made
        address = f"127.{16 + (count >> 16)}.{count >> 8 & 255}.{count & 255}"
        if labels[COMPONENT] == "router":
            self.addresses[address] = labels[INSTANCE]
        return address

    async def _status(self, kind: Kind, obj: Object, status: Object) -> None:
        metadata = obj["metadata"]
        stated = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "status": status,
        }
        await self.kube.apply_status(kind, stated, manager="bench-kubelet")


class _Scraped(asyncio.Protocol):
    """HTTP/1.1 as far as a scrape needs it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._rest = b""
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._idle is not None:
            self._idle.cancel()

    def data_received(self, data: bytes) -> None:
        if self._address in self._fleet.silent:
            return
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for _ in requests:
            body = self._fleet.metrics(self._address)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n"
            self._transport.write(head.encode() + b"\r\n" + body)
        if self._idle is not None:
            self._idle.cancel()
        if not self._fleet.is_router(self._address):
            close = self._transport.close
            self._idle = asyncio.get_running_loop().call_later(KEPT_SECONDS, close)


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call again while a busy API server does not answer in time."""
    while True:
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(1.0)


def resource(number: int, threshold: str = "0.85") -> Object:
    """Return one of the bench's resources: two models that scale, a provider, two routers."""
    models = [
        {"name": name, "catalog": "llama-3-8b", "accelerator": {"type": "a10g"}}
        | {"scaling": {"max": 4}}
        for name in ("model-a", "model-b")
    ]
    provider = {
        "name": "openai",
        "apiKey": {"secretKeyRef": {"name": "openai", "key": "api-key"}},
        "models": [{"name": "gpt-4o"}],
    }
    return {
        "apiVersion": RESOURCE.api_version,
        "kind": RESOURCE.name,
        "metadata": {"name": name_of(number), "namespace": "default"},
        "spec": {
            "models": models,
            "providers": [provider],
            "routing": {"threshold": threshold},
        },
    }


def name_of(number: int) -> str:
    """Return the name of the resource of that number."""
    return f"r{number:04}"


def key(number: int) -> Key:
    """Return the key of the resource of that number."""
    return Key("default", name_of(number))


__all__ = ["Fleet", "key", "key_of", "name_of", "resource"]
