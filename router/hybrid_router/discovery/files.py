"""Files that change under the router: tables, secrets, keys and certificates.

Polling by `stat` sees a plain rewrite as well as the symlink swap of a Kubernetes volume, works on
every file system, and costs microseconds a second.
"""

from __future__ import annotations

import os
from pathlib import Path

Signature = tuple[int, int, int]
"""Inode, modification time in ns and size: changes with the content."""


def signature(path: str) -> Signature | None:
    """Return what identifies the present content of `path`; None if it cannot be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116  as bytes-cheap as it gets, called every second
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class WatchedFile:
    """One file whose content is read again when it changes."""

    __slots__ = ("_seen", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: Signature | None = None

    def changed(self) -> bytes | None:
        """Return the content if it differs from what was returned last, else None.

        A file that is away or unreadable has not changed: what was read last stays in force.
        """
        now = signature(self.path)
        if now is None or now == self._seen:
            return None
        try:
            content = Path(self.path).read_bytes()
        except OSError:
            return None
        self._seen = now
        return content
