"""HTTP proxies on the way to https backends: `CONNECT` (RFC 9110, 9.3.6), by the usual variables.

`HTTPS_PROXY` names the proxy (`http://host:port`; `user:password@` may stand before the host) and
`NO_PROXY` what is asked without one: host names with everything below them, addresses, networks
(`10.0.0.0/8`), each with or without a port, or `*`. Lower case names work as well. Plain http never
goes through a proxy: it is what is used inside a cluster. Nor does the Kubernetes API, whose
address a pod's environment names.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hybrid_router.upstream.errors import ConnectFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REPLY_BYTES = 16 * 1024
DEFAULT_PORT = 80


class ProxyError(ValueError):
    """The variables name no proxy that can be used; the message holds no password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; `authorization` is a header line, or empty."""

    host: str
    port: int
    authorization: bytes = b""

    async def tunnel(self, host: str, port: int) -> asyncio.Transport:
        """Return a transport through which `host` can be spoken to, with a protocol to replace.

        Raises:
            ConnectFailed: the proxy refused.
            OSError: it could not be reached.
        """
        loop = asyncio.get_running_loop()
        authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("idna")
        transport, reply = await loop.create_connection(_Reply, self.host, self.port)
        try:
            lines = b"CONNECT %s HTTP/1.1\r\nhost: %s\r\n%s\r\n"
            transport.write(lines % (authority, authority, self.authorization))
            status = await reply.status
        except BaseException:
            transport.abort()
            raise
        if not 200 <= status < 300:  # noqa: PLR2004  success
            transport.abort()
            raise ConnectFailed(f"the proxy {self.host}:{self.port} answered {status}")
        return transport


class Proxies:
    """Which proxy leads to which host.

    Args:
        environ: read once.

    Raises:
        ProxyError: `HTTPS_PROXY` is no URL of a plain HTTP proxy.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxy = _proxy(_variable(environ, "HTTPS_PROXY"))
        entries = _variable(environ, "NO_PROXY").split(",")
        entries.append(environ.get("KUBERNETES_SERVICE_HOST", ""))
        self._direct = [entry.strip().lower() for entry in entries if entry.strip()]

    def to(self, host: str, port: int) -> Proxy | None:
        """Return the proxy on the way to an https origin; None if there is none."""
        if self._proxy is None or any(_matches(e, host.lower(), port) for e in self._direct):
            return None
        return self._proxy


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.lower()) or environ.get(name) or ""


def _proxy(url: str) -> Proxy | None:
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise ProxyError("HTTPS_PROXY is not a URL such as http://proxy.example:3128") from None
    if parts.scheme != "http" or not host:
        raise ProxyError("HTTPS_PROXY: only http://host:port is supported as a proxy's address")
    if parts.username is None:
        return Proxy(host, port)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, b"proxy-authorization: Basic %s\r\n" % base64.b64encode(pair))


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY names a host (both in lower case)."""
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        return ipaddress.ip_address(host) in network
    except ValueError:
        entry = entry.removeprefix("*").removeprefix(".")
        return not entry or host == entry or host.endswith("." + entry)


class _Reply(asyncio.Protocol):
    """Reads the reply to CONNECT: a head, and nothing after it before TLS begins."""

    def __init__(self) -> None:
        self._head = b""
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" not in self._head and len(self._head) <= MAX_REPLY_BYTES:
            return
        version, _, rest = self._head.partition(b" ")
        if version.startswith(b"HTTP/1.") and rest[:3].isdigit():
            self._settle(int(rest[:3]))
        else:
            self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio
        self._settle(None)

    def _settle(self, status: int | None) -> None:
        if self.status.done():
            return
        if status is None:
            self.status.set_exception(ConnectFailed("the proxy's answer is not HTTP/1.1"))
        else:
            self.status.set_result(status)
