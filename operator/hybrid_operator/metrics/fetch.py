"""Getting a pod's metrics: straight from the pod, or by way of the API server."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from hybrid_operator.core.objects import engine_pod, router_pod
from hybrid_operator.kube.errors import KubeError
from hybrid_operator.kube.kinds import POD, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.kube.client import Kube
    from hybrid_operator.metrics.connections import Connections

PATH = "/metrics"
PORT_NAME = "http"
CONTAINERS = frozenset({engine_pod.CONTAINER, router_pod.CONTAINER})
"""Whose port is asked: what a webhook puts beside them may have one of the same name."""
DEADLINE_SECONDS = 2.0
MAX_BYTES = 4 * 2**20
"""A longer text is no pod's of ours."""


class FetchError(Exception):
    """There is nothing to read; the message says why."""


class Fetch(Protocol):
    """Returns the text of a trimmed pod's metrics, or raises `FetchError`."""

    async def __call__(self, pod: Mapping[str, Any]) -> str:
        """Fetch once, within `DEADLINE_SECONDS`."""


class Direct:
    """From the pod's own address: in the cluster."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __call__(self, pod: Mapping[str, Any]) -> str:
        """Fetch once.

        Raises:
            FetchError: no address yet, no answer in time, or not an answer of 200.
        """
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise FetchError("the pod has no address yet")
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                status, body = await self._connections.get(address, _port(pod), PATH)
        except TimeoutError:
            raise FetchError(f"no answer within {DEADLINE_SECONDS:g} s") from None
        except OSError as error:
            raise FetchError(str(error) or type(error).__name__) from None
        if status != HTTPStatus.OK:
            raise FetchError(f"{PATH} answered {status}")
        return body.decode("utf-8", "replace")


class Proxied:
    """By way of the API server: for an operator that runs outside the cluster."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def __call__(self, pod: Mapping[str, Any]) -> str:
        """Fetch once.

        Raises:
            FetchError: no answer in time, no right to, or not an answer of 200.
        """
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._kube.proxy_get(POD, key_of(pod), _port(pod), PATH)
        except TimeoutError:
            raise FetchError(f"no answer within {DEADLINE_SECONDS:g} s") from None
        except KubeError as error:
            raise FetchError(str(error)) from None


def _port(pod: Mapping[str, Any]) -> int:
    for container in (pod.get("spec") or {}).get("containers") or []:
        if container["name"] in CONTAINERS:
            for port in container["ports"]:
                if port.get("name") == PORT_NAME:
                    return int(port["containerPort"])
    raise FetchError(f"the pod has no container port named {PORT_NAME}")
