"""Following a cluster: the ConfigMap with the table, and the endpoints of the table's Services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.discovery.endpoints import SERVICE_LABEL, EndpointSlice, Metadata, addresses
from hybrid_router.discovery.kube import Selection
from hybrid_router.discovery.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hybrid_router.discovery.kube import KubeAPI
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.discovery.tables import Tables

DEFAULT_KEY = "table.json"


@dataclass(frozen=True, slots=True)
class ConfigMapRef:
    """A key of a ConfigMap."""

    namespace: str
    name: str
    key: str = DEFAULT_KEY

    @classmethod
    def parse(cls, text: str) -> ConfigMapRef:
        """Read `NAMESPACE/NAME[:KEY]`.

        Raises:
            ValueError: it is not of that form.
        """
        path, _, key = text.partition(":")
        namespace, _, name = path.partition("/")
        if not namespace or not name or "/" in name:
            raise ValueError(f"{text!r} is not NAMESPACE/NAME or NAMESPACE/NAME:KEY")
        return cls(namespace, name, key or DEFAULT_KEY)


class ConfigMap(msgspec.Struct, frozen=True):
    """As much of a ConfigMap as is read."""

    metadata: Metadata
    data: dict[str, str] | None = None


class ClusterDiscovery:
    """Keeps a registry at what the cluster says.

    Args:
        api: of the cluster.
        registry: whose table names the Services to follow.
        tables: takes the ConfigMap's documents.
        config_map: what holds the table; None if it comes from a file alone.
    """

    def __init__(
        self, api: KubeAPI, registry: Registry, tables: Tables, config_map: ConfigMapRef | None
    ) -> None:
        self._api = api
        self._registry = registry
        self._tables = tables
        self._config_map = config_map
        self._changed = asyncio.Event()
        self._changed.set()
        self._following: dict[str, tuple[frozenset[str], asyncio.Task[None]]] = {}
        registry.listen(lambda _: self._changed.set())

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._config_map is not None:
                tasks.create_task(self._table(self._config_map).run(), name="watch table")
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._follow(tasks)

    def _table(self, at: ConfigMapRef) -> Reflector[ConfigMap]:
        what = Selection(
            f"/api/v1/namespaces/{at.namespace}/configmaps",
            field_selector=f"metadata.name={at.name}",
        )
        return Reflector(self._api, what, ConfigMap, _TableSink(at, self._tables))

    def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Have one watch per namespace, for exactly the Services that the table names there."""
        wanted: dict[str, set[str]] = {}
        for namespace, service in self._registry.services():
            wanted.setdefault(namespace, set()).add(service)
        for namespace, (services, task) in list(self._following.items()):
            if wanted.get(namespace, set()) != services:
                task.cancel()
                del self._following[namespace]
        for namespace, names in wanted.items():
            if namespace not in self._following:
                services = frozenset(names)
                run = self._endpoints(namespace, services).run()
                task = tasks.create_task(run, name=f"watch endpoints {namespace}")
                self._following[namespace] = services, task

    def _endpoints(self, namespace: str, services: frozenset[str]) -> Reflector[EndpointSlice]:
        what = Selection(
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            label_selector=f"{SERVICE_LABEL} in ({','.join(sorted(services))})",
        )
        sink = EndpointSink(namespace, services, self._registry)
        return Reflector(self._api, what, EndpointSlice, sink)


class _TableSink:
    """Offers the document that a ConfigMap holds."""

    def __init__(self, at: ConfigMapRef, tables: Tables) -> None:
        self._at = at
        self._tables = tables

    def replaced(self, objects: Sequence[ConfigMap]) -> None:
        if not objects:
            self._missing("is not there")
        for found in objects:
            self.changed(found)

    def changed(self, thing: ConfigMap) -> None:
        document = (thing.data or {}).get(self._at.key)
        if document is None:
            self._missing(f"has no key {self._at.key}")
        else:
            self._tables.offer(document.encode(), "watch")

    def gone(self, thing: ConfigMap) -> None:
        self._missing(f"was deleted (version {thing.metadata.resource_version})")

    def _missing(self, why: str) -> None:
        self._tables.missing("watch", f"ConfigMap {self._at.namespace}/{self._at.name} {why}")


class EndpointSink:
    """Tells the registry the addresses of each Service of one namespace."""

    def __init__(self, namespace: str, services: frozenset[str], registry: Registry) -> None:
        self._namespace = namespace
        self._services = services
        self._registry = registry
        self._slices: dict[str, EndpointSlice] = {}

    def replaced(self, objects: Sequence[EndpointSlice]) -> None:
        """Take all slices; a Service without any has no endpoints."""
        self._slices = {piece.metadata.name: piece for piece in objects}
        self._tell(self._services)

    def changed(self, thing: EndpointSlice) -> None:
        """Take one slice; it may have belonged to another Service before."""
        before = self._slices.get(thing.metadata.name, thing)
        self._slices[thing.metadata.name] = thing
        self._tell({before.service[1], thing.service[1]})

    def gone(self, thing: EndpointSlice) -> None:
        """Forget one slice."""
        self._slices.pop(thing.metadata.name, None)
        self._tell({thing.service[1]})

    def _tell(self, services: Iterable[str]) -> None:
        for service in services:
            pieces = [p for p in self._slices.values() if p.service[1] == service]
            self._registry.locate(self._namespace, service, addresses(pieces))
