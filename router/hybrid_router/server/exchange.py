"""One request and its answer, as the endpoints see it."""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from hybrid_router.chunks import LINES, MAX_CONTENT
from hybrid_router.openai.errors import ApiError, envelope

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hybrid_router.server.connection import Connection
    from hybrid_router.server.request import Request
    from hybrid_router.server.server import Endpoint

_ID_PREFIX_BYTES: Final = 6
MAX_ID_BYTES: Final = 128
_ID_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")

_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}

JSON: Final = b"content-type: application/json\r\n"


class Flow(Protocol):
    """Something that produces an answer and can be asked to wait for the client."""

    def pause(self) -> None:
        """Produce nothing more: the client reads too slowly."""

    def resume(self) -> None:
        """Go on."""


class Exchange:
    """A request and the way to answer it: `reply`, or `start`, `send` any number, `finish`.

    Attributes:
        envelope: makes the body of an error, in the form of the surface that was called.
        flow: told when the client reads too slowly; set it before `start`.
        key_id: of the client's key.
        reserved: bytes of the body that count against the server's limit.
        task: what answers, if that is not done at once.
        began: when the head was complete, seconds of the monotonic clock.
        status: of the answer; 0 before it is begun.
        endpoint: what answers.
        close: the connection ends with this answer.
    """

    __slots__ = (
        "_chunked", "_connection", "began", "close", "counted", "endpoint", "envelope", "finished",
        "flow", "key_id", "request", "request_id", "reserved", "status", "task",
    )  # fmt: skip

    def __init__(self, connection: Connection, request: Request, request_id: str) -> None:
        self._connection = connection
        self._chunked = False
        self.request = request
        self.request_id = request_id
        self.began = time.monotonic()
        self.close = not request.keep_alive
        self.endpoint: Endpoint
        self.envelope: Callable[[ApiError, str], bytes] = envelope
        self.counted = False
        self.finished = False
        self.flow: Flow | None = None
        self.key_id: str | None = None
        self.reserved = 0
        self.status = 0
        self.task: asyncio.Task[None] | None = None

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer at once.

        Args:
            status: of the response.
            headers: whole lines, each with its CRLF.
            body: sent with its length; to HEAD only the length goes out.
        """
        head = self._head(status, headers)
        if self.request.method == b"HEAD":
            self._connection.write(b"%scontent-length: %d\r\n\r\n" % (head, len(body)))
        else:
            self._connection.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        self._end()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Begin an answer whose body comes in parts; `length` in bytes if it is known."""
        head = self._head(status, headers)
        if length is not None:
            self._connection.write(b"%scontent-length: %d\r\n\r\n" % (head, length))
        elif self.request.http10:
            self._connection.write(head + b"\r\n")  # it ends with the connection
        else:
            self._chunked = True
            self._connection.write(head + b"transfer-encoding: chunked\r\n\r\n")
        if self.flow is not None and self._connection.congested:
            self.flow.pause()

    def attach(self, flow: Flow) -> None:
        """Let another producer go on with an answer that has begun."""
        self.flow = flow
        if self._connection.congested:
            flow.pause()

    def send(self, data: bytes) -> None:
        """Send a part of the body."""
        if self._chunked:
            size = len(data)
            line = LINES[size] if size <= MAX_CONTENT else b"%x\r\n" % size
            data = line + data + b"\r\n"
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(data)

    def chunked(self) -> asyncio.WriteTransport | None:
        """Return where a part may be written that is a whole chunk already; None if none may be."""
        return self._connection.transport if self._chunked else None

    def finish(self) -> None:
        """End the body."""
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self._end()

    def fail(self, error: ApiError, headers: bytes = b"") -> None:
        """Answer with an error, unless an answer has begun: then cut it off."""
        if self.finished:
            return
        if self.status:
            self.cut()
            return
        lines = [headers, JSON]
        lines += [b"%s: %s\r\n" % field for field in error.headers]
        self.reply(error.status, b"".join(lines), self.envelope(error, self.request_id))

    def cut(self) -> None:
        """Break the connection off, so that nobody takes the answer for complete."""
        if not self.finished:
            self.finished = True
            self._connection.cut()

    @property
    def late(self) -> bool:
        """Whether its connection was made while the server was already draining."""
        return self._connection.late

    @property
    def reserve(self) -> bool:
        """Whether its connection was accepted above the limit."""
        return self._connection.reserve

    def _head(self, status: int, headers: bytes) -> bytes:
        self.status = status
        if self._connection.server.draining:
            self.close = True
        return b"%s%s%sx-request-id: %s\r\n%s" % (
            _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,  # RFC 9112, 4: no phrase
            self._connection.server.date,
            headers,
            self.request_id.encode(),
            b"connection: close\r\n" if self.close else b"",
        )

    def _end(self) -> None:
        self.finished = True
        self.flow = None
        self._connection.answered(self)


class RequestIds:
    """Identifiers of requests: the client's own where it is harmless, else made here."""

    __slots__ = ("_count", "_prefix")

    def __init__(self) -> None:
        self._prefix = os.urandom(_ID_PREFIX_BYTES).hex()
        self._count = 0

    def of(self, request: Request) -> str:
        """Return the identifier of `request`."""
        given = request.headers.get(b"x-request-id")
        if given and len(given) <= MAX_ID_BYTES and _ID_BYTES.issuperset(given):
            return given.decode("ascii")
        self._count += 1
        return f"{self._prefix}-{self._count:x}"
