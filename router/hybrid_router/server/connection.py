"""One client's connection.

Requests are read one at a time. What a client sends ahead while an answer is under way waits as raw
bytes, and beyond 64 KiB it is not even read; so answers leave in the order of their requests. The
end of the input is taken as the client's leaving, as a half-closed connection cannot be told from a
closed one while there is nothing to write: the backend's work is then stopped at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from hybrid_router.openai.errors import ApiError
from hybrid_router.server.body import ChunkedBody
from hybrid_router.server.exchange import Exchange
from hybrid_router.server.request import Request, bad, parse_head
from hybrid_router.ticker import NEVER

if TYPE_CHECKING:
    from hybrid_router.server.server import Server

HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024
MAX_AHEAD_BYTES: Final = 64 * 1024
BODY_STEP_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
REQUEST_LINE_EXTRA: Final = 32
"""Bytes of a request line beside its target: the longest method and the version."""

_HEAD: Final = 0
_BODY: Final = 1
_BUSY: Final = 2
_LINGER: Final = 3
_CLOSED: Final = 4


class Connection(asyncio.Protocol):
    """Reads requests, hands them over, and writes what it is given.

    Attributes:
        congested: the client reads too slowly; more than 256 KiB wait for it.
        reserve: accepted above the limit of connections, for the health endpoints only.
        deadline: by the state: for the head, the body, the next request, or the client's reading.
    """

    __slots__ = (
        "_buffer", "_chunked", "_exchange", "_left", "_mark", "_parts", "_paused", "_size",
        "_state", "_unread", "_unwritten",
        "congested", "deadline", "late", "reserve", "server", "transport",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self._state = _HEAD
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._parts: list[bytes] = []
        self._chunked: ChunkedBody | None = None
        self._left = 0
        self._size = 0
        self._mark = 0
        self._paused = False
        self._unread = 0
        self._unwritten = 0
        self.congested = False
        self.reserve = False
        self.late = server.draining
        self.deadline = NEVER
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until it is made

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102  asyncio
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self.deadline = time.monotonic() + self.server.limits.keep_alive_timeout
        self.server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, D102  asyncio
        self._state = _CLOSED
        self.server.closed(self)
        self._leave()

    def eof_received(self) -> None:  # noqa: D102  asyncio
        if self._exchange is not None:
            self._leave()
            self.transport.abort()

    def data_received(self, data: bytes) -> None:  # noqa: D102  asyncio
        state = self._state
        if state == _HEAD:
            if self._buffer:
                start = len(self._buffer) - 3
                self._buffer += data
                self._read_head(max(start, 0))
            else:
                self._buffer = data
                self._read_head(0)
        elif state == _BODY:
            self._guarded_body(data)
        elif state == _BUSY:
            self._buffer += data
            if len(self._buffer) > MAX_AHEAD_BYTES:
                self._paused = True
                self.transport.pause_reading()
        elif state == _LINGER:
            self._unread += len(data)
            if self._unread > LINGER_BYTES:
                self.transport.abort()

    def pause_writing(self) -> None:  # noqa: D102  asyncio
        self.congested = True
        self._unwritten = self.transport.get_write_buffer_size()
        self.deadline = time.monotonic() + self.server.limits.write_stall_timeout
        if self._exchange is not None and self._exchange.flow is not None:
            self._exchange.flow.pause()

    def resume_writing(self) -> None:  # noqa: D102  asyncio
        self.congested = False
        if self._state == _BUSY:
            self.deadline = NEVER
        if self._exchange is not None and self._exchange.flow is not None:
            self._exchange.flow.resume()

    def expired(self, now: float) -> None:
        """Act on the passed deadline."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and self._state != _LINGER:
            if self.congested and waiting < self._unwritten:
                self._unwritten = waiting
                self.deadline = now + self.server.limits.write_stall_timeout
            else:
                self.transport.abort()  # the client has read nothing for too long
        elif self._state == _BODY or (self._state == _HEAD and self._buffer):
            self._refuse(ApiError(408, "request_timeout", "the request did not arrive in time"))
        else:
            self.transport.abort()

    # What an exchange and the server call.

    def write(self, data: bytes) -> None:
        """Write to the client, if it is still there."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def answered(self, exchange: Exchange) -> None:
        """Go on to the next request, or end."""
        self.server.ended(exchange)
        if exchange is not self._exchange:
            return
        self._exchange = None
        if self._state in {_LINGER, _CLOSED}:
            return
        if exchange.close or self.server.draining:
            self._close()
            return
        self._state = _HEAD
        self.deadline = time.monotonic() + self.server.limits.keep_alive_timeout
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._read_ahead)

    def cut(self) -> None:
        """Break off in the middle of an answer."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self.server.ended(exchange)
        self.transport.abort()

    def drain(self) -> None:
        """End now if nothing is under way."""
        if self._state == _HEAD and not self._buffer:
            self._close()

    # How a request is read.

    def _read_ahead(self) -> None:
        if self._state == _HEAD and self._buffer:
            self._read_head(0)

    def _read_head(self, start: int) -> None:
        """Look for a whole head in the buffer, of which `start` bytes were searched before."""
        data = self._buffer
        if data[:1] in {b"\r", b"\n"}:  # RFC 9112, 2.2: an empty line before a request is ignored
            data = self._buffer = data.lstrip(b"\r\n")
            start = 0
        end = data.find(b"\r\n\r\n", start)
        try:
            self._check_limits(data, end)
            if end < 0:
                _check_line_ends(data, start)
                if data and start == 0:
                    limit = self.server.limits.header_timeout
                    self.deadline = min(self.deadline, time.monotonic() + limit)
                return
            request = parse_head(data[: end + 4])
            if len(request.target) > self.server.limits.max_target_bytes:
                raise _too_long_target()
        except ApiError as error:
            self._refuse(error)
            return
        self._buffer = b""
        self._begin(request, data[end + 4 :])

    def _check_limits(self, data: bytes, end: int) -> None:
        limits = self.server.limits
        line = data.find(b"\r\n", 0, limits.max_target_bytes + REQUEST_LINE_EXTRA)
        if line < 0 and len(data) > limits.max_target_bytes + REQUEST_LINE_EXTRA:
            raise _too_long_target()
        if (end if end >= 0 else len(data)) > limits.max_header_bytes:
            raise ApiError(431, "header_too_large", "the request's header is too large")

    def _begin(self, request: Request, rest: bytes) -> None:
        """Take a head; dispatch, or read the body, or refuse before that."""
        exchange = Exchange(self, request, self.server.ids.of(request))
        self._exchange = exchange
        self._size = 0
        length = request.length
        try:
            self.server.admit(exchange)
        except ApiError as error:
            self._refuse_early(error, rest)
            return
        if length is not None and len(rest) >= length:
            request.body, self._buffer = rest[:length], rest[length:]
            self._dispatch(exchange)
            return
        self._state = _BODY
        self._mark = BODY_STEP_BYTES
        self.deadline = time.monotonic() + self.server.limits.header_timeout
        self._parts = []
        self._left = length or 0
        self._chunked = ChunkedBody() if length is None else None
        if rest:
            self._guarded_body(rest)
        elif request.expects_continue:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _guarded_body(self, data: bytes) -> None:
        try:
            self._read_body(data)
        except ApiError as error:
            self._refuse(error)

    def _read_body(self, data: bytes) -> None:
        """Take a part of the body."""
        exchange = cast("Exchange", self._exchange)
        if self._chunked is not None:
            part = self._chunked.feed(data)
            if self._chunked.announced > self.server.limits.max_body_bytes:
                raise too_large(self.server.limits.max_body_bytes)
            self.server.reserve(exchange, len(part))
            complete, rest = self._chunked.complete, self._chunked.rest
        else:
            part, rest = data[: self._left], data[self._left :]
            self._left -= len(part)
            complete = self._left == 0
        self._parts.append(part)
        self._size += len(part)
        if self._size > self.server.limits.max_body_bytes:
            raise too_large(self.server.limits.max_body_bytes)
        if complete:
            exchange.request.body = b"".join(self._parts)
            self._parts = []
            self._chunked = None
            self._buffer = rest
            self._dispatch(exchange)
        elif self._size >= self._mark:
            self._mark = self._size + BODY_STEP_BYTES
            self.deadline = time.monotonic() + self.server.limits.header_timeout

    def _dispatch(self, exchange: Exchange) -> None:
        self._state = _BUSY
        self.deadline = NEVER
        self.server.dispatch(exchange)

    # How a connection ends.

    def _refuse_early(self, error: ApiError, rest: bytes) -> None:
        """Refuse a request of which only the head counts; go on if its body is here already."""
        exchange = cast("Exchange", self._exchange)
        length = exchange.request.length
        if length is not None and length <= len(rest):
            self._buffer = rest[length:]
            self._state = _BUSY
            self.server.refused(exchange, error)
            exchange.fail(error)
        else:
            self._refuse(error)

    def _refuse(self, error: ApiError) -> None:
        """Answer with an error and end; what the client still sends is read and dropped.

        Without that, the unread bytes would reset the connection before the answer is read.
        """
        exchange = self._exchange
        if exchange is None:
            request = Request()
            exchange = self._exchange = Exchange(self, request, self.server.ids.of(request))
        exchange.close = True
        self._state = _LINGER
        self._buffer = b""
        self._parts = []
        self.deadline = time.monotonic() + LINGER_SECONDS
        self.server.refused(exchange, error)
        exchange.fail(error)
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def _close(self) -> None:
        self._state = _CLOSED
        self.deadline = time.monotonic() + self.server.limits.write_stall_timeout
        self.transport.close()

    def _leave(self) -> None:
        """The client is gone: stop what is done for it."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.finished:
            exchange.finished = True
            self.server.ended(exchange)
            task, exchange.task = exchange.task, None  # its traceback will know the exchange
            if task is not None:
                task.cancel()


def _check_line_ends(data: bytes, start: int) -> None:
    """Refuse a line end that is not CRLF while the head is still incomplete."""
    at = data.find(b"\n", start)
    while at >= 0:
        if at == 0 or data[at - 1] != 0x0D:  # noqa: PLR2004  CR
            raise bad("lines end with CRLF")
        at = data.find(b"\n", at + 1)


def too_large(limit: int) -> ApiError:
    """Return the error for a body above the limit."""
    return ApiError(413, "body_too_large", f"the body is larger than {limit} bytes")


def _too_long_target() -> ApiError:
    return ApiError(414, "uri_too_long", "the request's target is too long")
