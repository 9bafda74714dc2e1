"""Following one kind of object: list, then watch from there, for ever."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from hybrid_operator.kube.errors import Gone, KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hybrid_operator.kube.client import Kube
    from hybrid_operator.kube.kinds import Kind

log = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


class Sink(Protocol):
    """Where the objects of a kind go."""

    def keep(self, kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of an object; taking that is taking the object."""

    def replace(
        self, kind: Kind, namespace: str | None, items: Sequence[Mapping[str, Any]], version: str
    ) -> None:
        """Take these as all that there are, as of a resource version."""

    def upsert(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        """Take a new or changed object."""

    def remove(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        """Forget a deleted object."""


class Follower:
    """Keeps a sink in step with the objects of one kind that match a label selector.

    A broken stream goes on from the last resource version; only when the API server no longer
    knows it (410), everything is listed again.
    """

    def __init__(
        self, kube: Kube, sink: Sink, kind: Kind, namespace: str | None, selector: str
    ) -> None:
        self._kube = kube
        self._sink = sink
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._version = ""
        self._failures = 0
        self.synced = asyncio.Event()
        """Set once the sink has seen the first list."""

    async def run(self, jitter: Callable[[], float]) -> None:
        """Follow until cancelled; `jitter` returns a number from 0 to 1."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self._failures = 0
            except Gone:
                self._version = ""
            except KubeError as error:
                self._failures += 1
                log.warning("%s; trying again", error)
            # Also after an orderly end: a server that ends every stream at once must not spin us.
            delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** max(0, self._failures - 1))
            await asyncio.sleep(delay * (0.5 + 0.5 * jitter()))

    async def _list(self) -> None:
        keep = partial(self._sink.keep, self._kind)
        page = await self._kube.list(self._kind, self._namespace, self._selector, keep=keep)
        self._sink.replace(self._kind, self._namespace, page.items, page.version)
        self._version = page.version
        self.synced.set()

    async def _watch(self) -> None:
        stream = self._kube.watch(self._kind, self._namespace, self._version, self._selector)
        async for change in stream:
            if change.type == "DELETED":
                self._sink.remove(self._kind, change.object)
            elif change.type != "BOOKMARK":
                self._sink.upsert(self._kind, change.object)
            self._version = change.object["metadata"]["resourceVersion"]
            self._failures = 0
