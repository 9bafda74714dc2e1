"""The listening side: connections, what they may use together, and the end of it all."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hybrid_router.openai.errors import ApiError
from hybrid_router.server.acceptor import Acceptor
from hybrid_router.server.connection import Connection, too_large
from hybrid_router.server.exchange import Exchange, RequestIds
from hybrid_router.ticker import NEVER, Ticker

if TYPE_CHECKING:
    from hybrid_router.table import Limits

_log: Final = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.1
RESERVED_CONNECTIONS: Final = 64
"""Above the limit, so that health endpoints answer when it is reached."""
RETRY_AFTER = ((b"retry-after", b"1"),)


class Endpoint(msgspec.Struct, frozen=True):
    """What answers at a path: at once, or in a task. Exactly one of the two is given.

    Attributes:
        always: also under overload and while draining.
    """

    at_once: Callable[[Exchange], None] | None = None
    in_task: Callable[[Exchange], Coroutine[None, None, None]] | None = None
    always: bool = False


class App(Protocol):
    """What the server serves."""

    def route(self, exchange: Exchange) -> Endpoint:
        """Return what answers, once the head is there and before the body is read.

        Raises:
            ApiError: nothing answers, or not this client.
        """

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        """Note a request that the server, or `route`, refused."""

    def drain(self) -> None:
        """Note that the server is about to end: not ready any more."""


class Server:
    """Serves an app to clients.

    Args:
        app: what answers.
        limits: what clients may use. It may be replaced at any time.

    Attributes:
        date: the `date` header line, made once a second.
        draining: about to end.
    """

    def __init__(self, app: App, limits: Limits) -> None:
        self.limits = limits
        self.ids = RequestIds()
        self.draining = False
        self.date = b""
        self.deadline = 0.0
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._ticker = Ticker(TICK_SECONDS)
        self._connections: set[Connection] = set()
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._idle = asyncio.Event()
        self._acceptor: Acceptor | None = None

    def start(self, host: str, port: int) -> int:
        """Listen, and return the port (asked for as 0: the one that was given)."""
        self.expired(time.monotonic())
        self._ticker.add(self)
        self._acceptor = Acceptor(lambda: Connection(self), host, port)
        return self._acceptor.port

    async def drain(self, seconds: float) -> None:
        """End: let requests under way finish, for that many seconds at most, then stop listening.

        Idle connections are closed at once. Until the end the health endpoints answer on new
        connections as well; anything else is answered there with 503.
        """
        self.draining = True
        self._app.drain()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(seconds):
                while self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
                while self._unwritten():  # noqa: ASYNC110  a transport tells nobody
                    await asyncio.sleep(TICK_SECONDS)
        except TimeoutError:
            _log.warning("%d requests did not end within %g s", self._in_flight, seconds)
        await self.close()

    def _unwritten(self) -> bool:
        """Return whether a client has not yet taken all of its answer."""
        return any(c.transport.get_write_buffer_size() for c in self._connections)

    async def close(self) -> None:
        """Stop now."""
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the connections report their loss, and their tasks are cancelled
        self._ticker.stop()

    def expired(self, now: float) -> None:
        """Make the date anew, once a second."""
        self.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        self.deadline = now + 1.0

    # What connections and exchanges call.

    def opened(self, connection: Connection) -> None:
        """Take a new connection, or drop it when even the reserve is used up."""
        self._connections.add(connection)
        self._ticker.add(connection)
        over = len(self._connections) - self.limits.max_connections
        connection.reserve = over > 0
        if over > RESERVED_CONNECTIONS:
            connection.transport.abort()

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._ticker.discard(connection)
        connection.deadline = NEVER

    def admit(self, exchange: Exchange) -> None:
        """Decide by its head whether a request is served.

        Raises:
            ApiError: 404, 405, 401 and the like by the app; 413, 415 or 503 by the server.
        """
        endpoint = self._app.route(exchange)
        length = exchange.request.length
        if length is not None and length > self.limits.max_body_bytes:
            raise too_large(self.limits.max_body_bytes)
        if exchange.request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ApiError(
                415,
                "unsupported_encoding",
                "the body is compressed; send it without Content-Encoding",
                headers=((b"accept-encoding", b"identity"),),
            )
        if not endpoint.always:
            if exchange.late:
                raise _unavailable("shutting_down", "this router is shutting down")
            if exchange.reserve:
                raise _unavailable("too_many_connections", "too many connections")
            if self._in_flight >= self.limits.max_in_flight:
                raise _unavailable("overloaded", "too many requests are under way")
            self._in_flight += 1
            exchange.counted = True
        exchange.endpoint = endpoint
        if length:
            self.reserve(exchange, length)

    def reserve(self, exchange: Exchange, size: int) -> None:
        """Count `size` more bytes of a body.

        Raises:
            ApiError: 503, all bodies together are too large.
        """
        exchange.reserved += size
        self._bytes_in_flight += size
        if self._bytes_in_flight > self.limits.max_bytes_in_flight:
            raise _unavailable("overloaded", "the requests under way are too large together")

    def dispatch(self, exchange: Exchange) -> None:
        """Let the endpoint answer."""
        endpoint = exchange.endpoint
        if endpoint.in_task is not None:
            exchange.task = self._loop.create_task(self._answer(exchange, endpoint.in_task))
        elif endpoint.at_once is not None:
            try:
                endpoint.at_once(exchange)
            except ApiError as error:
                exchange.fail(error)

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        """Report a request that was refused."""
        self._app.refused(exchange, error)

    def ended(self, exchange: Exchange) -> None:
        """Give back what a request used."""
        self._bytes_in_flight -= exchange.reserved
        exchange.reserved = 0
        if exchange.counted:
            exchange.counted = False
            self._in_flight -= 1
            if self.draining and not self._in_flight:
                self._idle.set()

    async def _answer(
        self, exchange: Exchange, answer: Callable[[Exchange], Coroutine[None, None, None]]
    ) -> None:
        try:
            await answer(exchange)
        except ApiError as error:
            exchange.fail(error)
        except Exception as error:  # noqa: BLE001  a fault in one request must not end the others
            # The text of an unknown exception may quote what it worked on: its place must do.
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s at %s:%s", type(error).__name__, where.filename, where.lineno)
            exchange.fail(ApiError(500, "internal_error", "the router failed; please report this"))
        finally:
            exchange.cut()  # nothing, if it was answered


def _unavailable(code: str, message: str) -> ApiError:
    return ApiError(503, code, f"{message}; try again", headers=RETRY_AFTER)
