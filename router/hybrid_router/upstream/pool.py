"""Kept connections, per origin.

The newest idle connection is used first, so that the others grow old and are closed. DNS runs in
the event loop's resolver threads and anew for each connection, so that a moved Service is found.
TLS handshakes cost CPU that the relaying of streams needs: only a few run at once.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from hybrid_router.upstream.errors import ConnectFailed, TimedOut
from hybrid_router.upstream.wire import Wire

if TYPE_CHECKING:
    from hybrid_router.upstream.proxy import Proxies, Proxy

MAX_IDLE_PER_ORIGIN: Final = 256
IDLE_SECONDS: Final = 60.0
CONCURRENT_HANDSHAKES: Final = 8
USER_AGENT: Final = b"hybrid-router"


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a verifying TLS context that offers HTTP/1.1.

    Args:
        ca_file: certificate authorities (PEM) beside the system's.

    Raises:
        OSError: `ca_file` cannot be read, or is not PEM (`ssl.SSLError`).
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Origin:
    """Scheme, host and port, and the connections kept to it."""

    __slots__ = (
        "_handshakes",
        "_host",
        "_idle",
        "_open",
        "_port",
        "_proxy",
        "_tls",
        "host_header",
        "label",
    )

    def __init__(
        self,
        scheme: str,
        authority: str,
        tls: ssl.SSLContext | None,
        handshakes: asyncio.Semaphore,
        proxies: Proxies,
    ) -> None:
        parts = urlsplit(f"{scheme}://{authority}")
        if parts.hostname is None:
            raise ConnectFailed("a backend's URL has no host")
        self._host = parts.hostname
        self._port = parts.port or (443 if scheme == "https" else 80)
        self._tls = tls
        self._proxy = proxies.to(self._host, self._port) if tls is not None else None
        self._handshakes = handshakes
        self._idle: deque[Wire] = deque()
        self._open: set[Wire] = set()
        self.host_header = (
            b"host: " + authority.encode("idna" if not authority.isascii() else "ascii") + b"\r\n"
        )
        self.label = f"{self._host}:{self._port}"

    def take(self) -> Wire | None:
        """Return an idle connection, or None."""
        while self._idle:
            wire = self._idle.pop()
            wire.idle = False
            if not wire.closing:
                return wire
        return None

    async def connect(self, seconds: float) -> Wire:
        """Return a new connection.

        Raises:
            ConnectFailed: no address, refused, unreachable, or TLS failed.
            TimedOut: not within that many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                if self._tls is None:
                    return await self._create()
                async with self._handshakes:
                    return await self._create()
        except TimeoutError:
            raise TimedOut(f"no connection to {self.label} within {seconds:g} s") from None
        except ssl.SSLError as error:
            raise ConnectFailed(
                f"TLS with {self.label} failed: {error.reason or type(error).__name__}"
            ) from None
        except OSError as error:
            raise ConnectFailed(
                f"no connection to {self.label}: {error.strerror or type(error).__name__}"
            ) from None

    async def _create(self) -> Wire:
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        if self._proxy is None:
            _, wire = await loop.create_connection(
                self._wire, self._host, self._port, ssl=self._tls, server_hostname=name
            )
        else:
            wire = await self._through(self._proxy)
        self._open.add(wire)
        return wire

    async def _through(self, proxy: Proxy) -> Wire:
        tunnel = await proxy.tunnel(self._host, self._port)
        wire = self._wire()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                tunnel, wire, cast("ssl.SSLContext", self._tls), server_hostname=self._host
            )
        except BaseException:
            tunnel.abort()
            raise
        if secured is None:
            raise ConnectFailed(f"no connection to {self.label}: the proxy closed it")
        wire.connection_made(secured)
        return wire

    def _wire(self) -> Wire:
        return Wire(self._freed, self._lost)

    def _freed(self, wire: Wire) -> None:
        wire.idle = True
        wire.idle_since = time.monotonic()
        self._idle.append(wire)
        if len(self._idle) > MAX_IDLE_PER_ORIGIN:
            self._drop_oldest()

    def _lost(self, wire: Wire) -> None:
        self._open.discard(wire)
        if wire.idle:
            self._idle.remove(wire)

    def close_idle(self, before: float) -> None:
        """Close the connections that have been idle since before that time."""
        while self._idle and self._idle[0].idle_since <= before:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        wire = self._idle.popleft()
        wire.idle = False
        wire.abort()

    def abort(self) -> None:
        """Drop every connection."""
        for wire in self._idle:
            wire.idle = False
        self._idle.clear()
        for wire in tuple(self._open):
            wire.abort()

    @property
    def unused(self) -> bool:
        """Whether no connection is open."""
        return not self._open
