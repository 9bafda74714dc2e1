"""Where tables come from: a file, a ConfigMap, or both; good ones go to the registry."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from hybrid_router.discovery.files import WatchedFile
from hybrid_router.table import TableError, content_hash, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.discovery.registry import Registry, Source
    from hybrid_router.table import RouteTable

_log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 5.0
"""A table comes into force no later than so much after it came, ready or not."""


class Tables:
    """Offers documents to the registry; a bad one is logged and counted once, and changes nothing.

    Args:
        registry: takes the good ones.
        refused: told the source of each bad one (a metric).

    Attributes:
        prepare: begins what a table needs before it can serve, and returns None where that is
            there. Meanwhile the table before it goes on serving, if there is one.
    """

    def __init__(self, registry: Registry, refused: Callable[[str], None]) -> None:
        self._registry = registry
        self._refused = refused
        self._bad: dict[Source, str] = {}
        self._coming: dict[Source, asyncio.Task[None]] = {}
        self.prepare: Callable[[RouteTable], asyncio.Future[Any] | None] | None = None

    def offer(self, document: bytes, source: Source) -> None:
        """Put a document in force if it can be, and none that this source offered before."""
        digest = content_hash(document)
        if self._bad.get(source) == digest:
            return
        coming = self._coming.pop(source, None)
        if coming is not None:
            coming.cancel()
        try:
            needed = None
            if self.prepare is not None and self._registry.ready:
                needed = self.prepare(decode(document))
            if needed is None:
                self._registry.offer(document, source)
            else:
                self._coming[source] = asyncio.create_task(self._after(needed, document, source))
        except TableError as error:
            self._bad[source] = digest
            self.missing(source, f"its table cannot be served: {error}")
        else:
            self._bad.pop(source, None)

    def missing(self, source: Source, why: str) -> None:
        """Note that a source has no table to offer."""
        self._refused(source)
        kept = "the last good one stays in force" if self._registry.ready else "there is none yet"
        _log.error("table %s: %s; %s", source, why, kept)

    async def _after(self, needed: asyncio.Future[Any], document: bytes, source: Source) -> None:
        await asyncio.wait((needed,), timeout=LONGEST_WAIT_SECONDS)
        self._coming.pop(source, None)
        self._registry.offer(document, source)


class TableFile:
    """A table in a file, offered again whenever it changes."""

    def __init__(self, path: str, tables: Tables) -> None:
        self._file = WatchedFile(path)
        self._tables = tables

    def poll(self) -> None:
        """Look whether it changed."""
        document = self._file.changed()
        if document is not None:
            self._tables.offer(document, "file")
