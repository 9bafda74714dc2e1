"""Where tables come from: a file, a ConfigMap, or both; good ones go to the registry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hybrid_router.discovery.files import WatchedFile
from hybrid_router.table import TableError, content_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.discovery.registry import Registry, Source

_log = logging.getLogger(__name__)


class Tables:
    """Offers documents to the registry; a bad one is logged and counted once, and changes nothing.

    Args:
        registry: takes the good ones.
        refused: told the source of each bad one (a metric).
    """

    def __init__(self, registry: Registry, refused: Callable[[str], None]) -> None:
        self._registry = registry
        self._refused = refused
        self._bad: dict[Source, str] = {}

    def offer(self, document: bytes, source: Source) -> None:
        """Put a document in force if it can be."""
        digest = content_hash(document)
        if self._bad.get(source) == digest:
            return
        try:
            self._registry.offer(document, source)
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
