"""The router's one HTTP/1.1 client, for requests to backends and for everything else it asks.

    client = UpstreamClient()
    answer = await client.fetch("GET", "http://10.0.0.7:8000/v1/models", timeout=2.0)
    stream = await client.stream("GET", url, connect_timeout=2.0)
    async for part in stream.chunks(idle=60.0): ...
    await client.close()

No redirect is ever followed: a 3xx is an answer like any other. TLS is verified. Answers are asked
for without compression. Proxies are those of `upstream.proxy`, errors those of `upstream.errors`.

The request path uses `origin()` and the connections below it directly, without a task or a queue in
between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.upstream.errors import ProtocolBroken, Stale, TimedOut, UpstreamError
from hybrid_router.upstream.pool import (
    CONCURRENT_HANDSHAKES,
    IDLE_SECONDS,
    USER_AGENT,
    Origin,
    client_context,
)
from hybrid_router.upstream.proxy import Proxies
from hybrid_router.upstream.wire import Headers, Sink, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

__all__: Final = ["Answer", "Headers", "Stream", "UpstreamClient", "client_context"]

MAX_FETCH_BYTES: Final = 64 * 1024 * 1024
_STREAM_HIGH_WATER: Final = 1024 * 1024
_SWEEP_SECONDS: Final = 15.0


class Answer(msgspec.Struct, frozen=True):
    """A complete answer."""

    status: int
    headers: Headers
    body: bytes


class _Whole:
    """Collects an answer, or the error that came in its place: as a value, which knows nobody."""

    __slots__ = ("_parts", "_size", "_wire", "answer", "headers", "status")

    def __init__(self, wire: Wire, answer: asyncio.Future[Answer | UpstreamError]) -> None:
        self._wire = wire
        self._parts: list[bytes] = []
        self._size = 0
        self.answer = answer

    def head(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers

    def data(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_FETCH_BYTES:
            self._wire.abort()
            self.failed(ProtocolBroken("the answer is too large"))

    def end(self) -> None:
        if not self.answer.done():
            self.answer.set_result(Answer(self.status, self.headers, b"".join(self._parts)))

    def failed(self, error: UpstreamError) -> None:
        if not self.answer.done():
            self.answer.set_result(error)


class Stream:
    """An answer whose body is read as it comes. Read to its end, or `abort()`."""

    __slots__ = ("_ended", "_error", "_parts", "_ready", "_size", "_wire", "headers", "status")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._ready = asyncio.Event()
        self._ended = False
        self._error: UpstreamError | None = None
        self.status = 0
        self.headers = Headers()

    def chunks(self, idle: float | None) -> Chunks:
        """Return an iterator over the body's parts.

        Args:
            idle: seconds to wait for the next part; None waits for ever.
        """
        return Chunks(self, idle)

    async def next(self, idle: float | None) -> bytes | None:
        """Return the body's next part; None at its end.

        Raises:
            TimedOut: nothing came for `idle` seconds.
            UpstreamError: the body ended too early or broke.
        """
        while not self._parts:
            if self._ended:
                return None
            await self._wait(idle, "nothing came")
            if self._error is not None and not self._parts:
                raise self._error.anew()
        part = self._parts.popleft()
        self._size -= len(part)
        if self._size < _STREAM_HIGH_WATER:
            self._wire.resume()
        return part

    def abort(self) -> None:
        """Drop the connection, unless the body is complete."""
        if not self._ended:
            self._ended = True
            self._wire.abort()

    async def _wait(self, seconds: float | None, what: str) -> None:
        self._ready.clear()
        if self._ended or self._error is not None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            self.abort()
            raise TimedOut(f"{what} for {seconds:g} s") from None
        except asyncio.CancelledError:
            self.abort()
            raise

    async def opened(self, seconds: float) -> None:
        """Wait for status and headers."""
        await self._wait(seconds, "no answer")
        if self._error is not None and not self.status:
            raise self._error.anew()

    # Sink.

    def head(self, status: int, headers: Headers) -> None:  # noqa: D102  Sink
        self.status, self.headers = status, headers
        self._ready.set()

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _STREAM_HIGH_WATER:
            self._wire.pause()
        self._ready.set()

    def end(self) -> None:  # noqa: D102  Sink
        self._ended = True
        self._ready.set()

    def failed(self, error: UpstreamError) -> None:  # noqa: D102  Sink
        self._error = error
        self._ready.set()


class Chunks:
    """The parts of a stream's body, for `async for`; raises what `Stream.next` does."""

    __slots__ = ("_idle", "_stream")

    def __init__(self, stream: Stream, idle: float | None) -> None:
        self._stream = stream
        self._idle = idle

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        part = await self._stream.next(self._idle)
        if part is None:
            raise StopAsyncIteration
        return part


class UpstreamClient:
    """Asks backends; keeps connections.

    Args:
        proxies: on the way to https backends; none without it.
    """

    def __init__(self, proxies: Proxies | None = None) -> None:
        self._proxies = proxies or Proxies({})
        self._origins: dict[tuple[str, str, ssl.SSLContext | None], Origin] = {}
        self._targets: dict[tuple[str, ssl.SSLContext | None], tuple[Origin, bytes]] = {}
        self._handshakes = asyncio.Semaphore(CONCURRENT_HANDSHAKES)
        self._verified: ssl.SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._sweep_idle)

    def target(self, url: str, tls: ssl.SSLContext | None = None) -> tuple[Origin, bytes]:
        """Return the origin of `url` and its path with query, as bytes.

        Raises:
            ConnectFailed: it is no http or https URL with a host.
        """
        found = self._targets.get((url, tls))
        if found is not None:
            return found
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        if scheme == "https" and tls is None:
            if self._verified is None:
                self._verified = client_context()
            context: ssl.SSLContext | None = self._verified
        else:
            context = tls if scheme == "https" else None
        origin = self._origins.get((scheme, authority, context))
        if origin is None:
            origin = Origin(scheme, authority, context, self._handshakes, self._proxies)
            self._origins[(scheme, authority, context)] = origin
        found = origin, (slash + path).encode("ascii") or b"/"
        self._targets[(url, tls)] = found
        return found

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109  covers connecting, asking and reading
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Ask and return the whole answer, of whatever status.

        Args:
            method: upper case.
            url: absolute, http or https.
            headers: beside host, user-agent, accept-encoding and content-length.
            body: sent with its length.
            timeout: seconds, from connecting to the last byte.
            tls: instead of the system's trust.

        Raises:
            UpstreamError: see `upstream.errors`.
        """
        origin, path = self.target(url, tls)
        request = render(method, path, origin, headers, body)
        try:
            async with asyncio.timeout(timeout):
                try:
                    return await self._whole(origin, request, timeout, has_body=method != "HEAD")
                except Stale:
                    wire = await origin.connect(timeout)
                    return await self._ask(wire, request, has_body=method != "HEAD")
        except TimeoutError:
            raise TimedOut(f"no answer from {origin.label} within {timeout:g} s") from None

    async def _whole(
        self, origin: Origin, request: bytes, seconds: float, *, has_body: bool
    ) -> Answer:
        wire = origin.take() or await origin.connect(seconds)
        return await self._ask(wire, request, has_body=has_body)

    async def _ask(self, wire: Wire, request: bytes, *, has_body: bool) -> Answer:
        sink = _Whole(wire, self._loop.create_future())
        wire.send(request, sink, expects_body=has_body)
        try:
            answer = await sink.answer
        except asyncio.CancelledError:
            wire.abort()
            raise
        if isinstance(answer, UpstreamError):
            raise answer.anew()
        return answer

    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        connect_timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> Stream:
        """Ask and return the answer once its head is there.

        Args:
            method: upper case.
            url: absolute, http or https.
            headers: beside host, user-agent, accept-encoding and content-length.
            body: sent with its length.
            connect_timeout: seconds to connect, and then again to the answer's head.
            tls: instead of the system's trust.

        Raises:
            UpstreamError: see `upstream.errors`.
        """
        origin, path = self.target(url, tls)
        request = render(method, path, origin, headers, body)
        try:
            return await self._open(
                origin.take() or await origin.connect(connect_timeout), request, connect_timeout
            )
        except Stale:
            return await self._open(await origin.connect(connect_timeout), request, connect_timeout)

    async def _open(self, wire: Wire, request: bytes, seconds: float) -> Stream:
        stream = Stream(wire)
        sink: Sink = stream
        wire.send(request, sink)
        await stream.opened(seconds)
        return stream

    def _sweep_idle(self) -> None:
        before = time.monotonic() - IDLE_SECONDS
        for origin in self._origins.values():
            origin.close_idle(before)
        gone = {key for key, origin in self._origins.items() if origin.unused}
        if gone:
            kept = {key: origin for key, origin in self._origins.items() if key not in gone}
            alive = set(map(id, kept.values()))
            self._targets = {
                key: found for key, found in self._targets.items() if id(found[0]) in alive
            }
            self._origins = kept
        self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._sweep_idle)

    async def close(self) -> None:
        """Drop every connection and stop."""
        self._sweep.cancel()
        for origin in self._origins.values():
            origin.abort()
        self._origins.clear()
        self._targets.clear()
        await asyncio.sleep(0)  # transports report their loss in the loop's next turn


def render(
    method: str, path: bytes, origin: Origin, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """Return a request's bytes."""
    lines = [method.encode("ascii"), b" ", path, b" HTTP/1.1\r\n", origin.host_header]
    lines += (b"user-agent: ", USER_AGENT, b"\r\naccept-encoding: identity\r\n")
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    if body or method not in {"GET", "HEAD"}:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines += (b"\r\n", body)
    return b"".join(lines)
