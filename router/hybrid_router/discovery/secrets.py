"""Secrets by reference: values from mounted files or the environment, re-read when they change.

A value is held in memory and nowhere else; names of files and variables may be told to anyone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_router.discovery.files import Signature, signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hybrid_router.table import Backend, SecretRef


class SecretMissing(Exception):  # noqa: N818  a state that passes, not a fault of the code
    """A secret is not there, empty, or not printable ASCII.

    Attributes:
        name: of the file or of the variable; never the value.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"secret {name} is missing")
        self.name = name


class Secrets:
    """The values of the secrets that the table names."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._values: dict[SecretRef, bytes | None] = {}
        self._seen: dict[SecretRef, Signature | None] = {}

    def follow(self, references: Iterable[SecretRef]) -> None:
        """Hold exactly these secrets from now on."""
        wanted = set(references)
        self._values = {ref: value for ref, value in self._values.items() if ref in wanted}
        self._seen = {ref: seen for ref, seen in self._seen.items() if ref in wanted}
        for ref in wanted - self._values.keys():
            self._seen[ref] = signature(ref.file) if ref.file is not None else None
            self._values[ref] = self._read(ref)

    def poll(self) -> bool:
        """Read again what changed; return whether anything did."""
        stale = [ref for ref in self._values if self._is_stale(ref)]
        before = [self._values[ref] for ref in stale]
        for ref in stale:
            self._values[ref] = self._read(ref)
        return before != [self._values[ref] for ref in stale]

    def value(self, ref: SecretRef) -> bytes:
        """Return the secret.

        Raises:
            SecretMissing: it is not there at the moment.
        """
        found = self._values.get(ref)
        if found is None:
            raise SecretMissing(ref.file or ref.env or "?")
        return found

    def header(self, backend: Backend) -> tuple[bytes, bytes] | None:
        """Return the header that carries a backend's key; None if it needs none.

        Raises:
            SecretMissing: the key is not there at the moment.
        """
        if backend.api_key is None:
            return None
        key = self.value(backend.api_key)
        if backend.auth == "bearer":
            return b"authorization", b"Bearer " + key
        return backend.auth.encode(), key

    def _is_stale(self, ref: SecretRef) -> bool:
        if ref.file is None:
            return False
        now = signature(ref.file)
        changed = now != self._seen.get(ref)
        self._seen[ref] = now
        return changed

    def _read(self, ref: SecretRef) -> bytes | None:
        if ref.file is None:
            return clean(self._environ.get(ref.env or "", "").encode())
        try:
            return clean(Path(ref.file).read_bytes())
        except OSError:
            return None


def clean(raw: bytes) -> bytes | None:
    """Return a secret without the white space around it; None if it cannot be a header's value."""
    value = raw.strip()
    return value if value and all(0x21 <= byte <= 0x7E for byte in value) else None  # noqa: PLR2004  visible ASCII
