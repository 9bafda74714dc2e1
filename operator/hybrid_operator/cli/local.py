"""A RouteTable for a router outside of a cluster: engines by address, keys from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace

from hybrid_operator.cli.main import BadInputError
from hybrid_operator.core import naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_router.table import Backend, RouteTable

FIRST_PORT = 8000
"""vLLM's own; every further engine is taken to listen at the next one."""


def localise(table: RouteTable, spec: HybridInferenceSpec, stated: Sequence[str]) -> RouteTable:
    """Return the table with nothing in it that only a cluster has.

    `stated` are NAME=URL of models. Client keys go: every client is served.

    Raises:
        BadInputError: one of `stated` names no model, or no address.
    """
    urls = engines(spec, stated)
    backends = {name: _reachable(name, each) for name, each in table.backends.items()}
    for model, url in urls.items():
        name = naming.local_backend(model)
        backends[name] = replace(backends[name], service=None, urls=(url,))
    return replace(table, backends=backends, keys=None, routers=None)


def engines(spec: HybridInferenceSpec, stated: Sequence[str]) -> dict[str, str]:
    """Return the base URL of each local model's engine, `/v1` included.

    Raises:
        BadInputError: one of `stated` names no model, or no address.
    """
    urls = {
        model.name: f"http://127.0.0.1:{FIRST_PORT + number}/v1"
        for number, model in enumerate(spec.models)
    }
    for each in stated:
        name, _, url = each.partition("=")
        if name not in urls:
            raise BadInputError(f"--engine {each}: {_unknown(name, urls)}")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInputError(f"--engine {each}: say {name}=http://HOST:PORT/v1")
        urls[name] = url.rstrip("/")
    return urls


def keys(table: RouteTable) -> list[str]:
    """Return the variables that the table takes keys from."""
    found = (each.api_key.env for each in table.backends.values() if each.api_key)
    return [name for name in found if name]


def _unknown(name: str, urls: dict[str, str]) -> str:
    known = ", ".join(urls) or "none"
    return f"there is no model {name!r}; there are {known}"


def _reachable(name: str, backend: Backend) -> Backend:
    if backend.api_key is None:
        return backend
    variable = f"{name.rsplit('/', 1)[-1].upper().replace('-', '_')}_API_KEY"
    return replace(backend, api_key=replace(backend.api_key, file=None, env=variable))
