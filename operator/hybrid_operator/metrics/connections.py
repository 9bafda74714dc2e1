"""HTTP/1.1 as far as a scrape needs it: GET, on connections that stay open.

Of a look at thousands of pods the client is the largest part (docs/decisions/0018). httptools reads
the answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_SECONDS = 15.0
"""For which an unused connection stays open: pods are asked every 3 s, or every 15."""
BUFFER = memoryview(bytearray(64 * 1024))
"""Shared by all connections: what one has read is copied before another one reads."""
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


class Answer(NamedTuple):
    """What a server said."""

    status: int
    body: bytes


class Connections:
    """At most one idle connection to every address and port."""

    def __init__(self, most: int) -> None:
        """Connect to nobody yet; an answer longer than `most` bytes, head included, is none."""
        self._most = most
        self._idle: dict[tuple[str, int], _Connection] = {}
        self._sweep_at = 0.0

    async def get(self, address: str, port: int, path: str) -> Answer:
        """Ask once. When cancelled, the connection is closed.

        Raises:
            OSError: nobody listens there, or what came is not a whole answer. Says why.
        """
        loop, place = asyncio.get_running_loop(), (address, port)
        self._sweep(loop.time())
        host = f"[{address}]" if ":" in address else address
        request = f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\naccept: text/plain\r\n\r\n"
        idle = self._idle.pop(place, None)
        if idle is not None:
            try:
                return await self._ask(idle, place, request.encode())
            except _StaleError:
                pass
        _, made = await loop.create_connection(lambda: _Connection(self._most), address, port)
        return await self._ask(made, place, request.encode())

    def close(self) -> None:
        """Close what is idle."""
        for each in self._idle.values():
            each.close()
        self._idle.clear()

    async def _ask(self, connection: _Connection, place: tuple[str, int], request: bytes) -> Answer:
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and place not in self._idle:
            self._idle[place] = connection
        else:
            connection.close()
        return answer

    def _sweep(self, now: float) -> None:
        """Close what nobody has used for long: a pod that is gone may never say so."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + KEPT_SECONDS
        for place in list(self._old(now)):
            self._idle.pop(place).close()

    def _old(self, now: float) -> Iterator[tuple[str, int]]:
        for place, each in self._idle.items():
            if not each.reusable or now - each.since >= KEPT_SECONDS:
                yield place


class _StaleError(ConnectionError):
    """A connection that was idle was closed before it said anything."""


class _Connection(asyncio.BufferedProtocol):
    """One request at a time; httptools calls `on_...` with what it finds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self._heard = 0
        self._begun = self._told_length = False
        self._asked = 0
        self.reusable = False
        """Whether the last answer is complete, and nothing has come since."""
        self.since = 0.0
        """When it was last asked, by the loop's clock."""

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future has its answer, or an OSError."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        self._parser, self._body, self._heard = httptools.HttpResponseParser(self), [], 0
        self._begun = self._told_length = False
        self._asked += 1
        if self._transport is None or self._transport.is_closing():
            self._fail(_StaleError())
        else:
            self.reusable, self.since = False, loop.time()
            self._transport.write(request)
        return waiter

    def close(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if self._parser is None:  # nobody has asked
            self.close()
            return
        self._heard += nbytes
        if self._heard > self._most:
            self._fail(ConnectionError(f"the answer is longer than {self._most} bytes"))
            return
        try:
            self._parser.feed_data(BUFFER[:nbytes])
        except httptools.HttpParserError:
            self._fail(ConnectionError("the answer is not HTTP/1.1"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self.reusable = None, False
        if self._begun and exc is None and not self._told_length:
            self._done()
        elif self._asked > 1 and not self._heard:
            self._fail(_StaleError())
        else:
            self._fail(ConnectionError("the connection was closed before the answer was complete"))

    # of httptools

    def on_message_begin(self) -> None:
        if self._parser is None:  # a second answer
            self.close()

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() in _LENGTHS:
            self._told_length = True

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser is not None:
            self.reusable = self._parser.should_keep_alive()
            self._done()

    def _forget(
        self,
    ) -> tuple[httptools.HttpResponseParser | None, asyncio.Future[Answer] | None]:
        """Keep nothing of an answer: thousands of idle connections would keep as many pages."""
        parser, waiter = self._parser, self._waiter
        self._parser = self._waiter = None
        return parser, waiter

    def _done(self) -> None:
        (parser, waiter), body = self._forget(), self._body
        self._body = []
        if parser is not None and waiter is not None and not waiter.done():
            waiter.set_result(Answer(parser.get_status_code(), b"".join(body)))

    def _fail(self, error: OSError) -> None:
        _, waiter = self._forget()
        self.reusable, self._body = False, []
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()
