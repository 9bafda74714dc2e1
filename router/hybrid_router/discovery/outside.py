"""What of a table only a router in a cluster can reach, for one that is checked outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hybrid_router.table import Backend, RouteTable, SecretRef

_CLUSTER = (".svc", ".cluster.local")
"""Ends of names that only a cluster's own DNS resolves."""


def unreachable(table: RouteTable, environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each thing that is not there; never a key."""
    said = [
        f"backend {name}: {what}"
        for name, backend in sorted(table.backends.items())
        for what in _missing(backend, environ)
    ]
    if table.keys is not None and not Path(table.keys.directory).is_dir():
        said.append(f"client keys: there is no directory {table.keys.directory}")
    return said


def _missing(backend: Backend, environ: Mapping[str, str]) -> Iterator[str]:
    if backend.service is not None:
        service = f"{backend.service.namespace}/{backend.service.name}"
        yield f"its replicas are those of Service {service} in a cluster"
    for url in backend.urls:
        if (urlsplit(url).hostname or "").endswith(_CLUSTER):
            yield f"{url} is an address within a cluster"
    if backend.api_key is not None:
        yield from _no_key(backend.api_key, environ)


def _no_key(key: SecretRef, environ: Mapping[str, str]) -> Iterator[str]:
    if key.file is not None and not Path(key.file).is_file():
        yield f"there is no key file {key.file}"
    if key.env is not None and not environ.get(key.env):
        yield f"its key is to come from {key.env}, which is not set"
