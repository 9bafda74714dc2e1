"""One HTTP/1.1 connection to a backend.

httptools reads heads and chunks. Around it stands what it does not do: interim replies are skipped,
bodies that end with the connection end there, and a connection that said more than it was asked, or
earlier, is never used again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools

from hybrid_router.chunks import whole_chunk
from hybrid_router.upstream.errors import Closed, ProtocolBroken, Stale, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hybrid_router.upstream.lane import Lane

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_INTERIM_REPLIES: Final = 16

HTTP_SWITCHING: Final = 101

_IDLE: Final = 0
_HEAD: Final = 1
_LENGTH: Final = 2
_CHUNKED: Final = 3
_UNTIL_CLOSE: Final = 4


_NOBODYS: Final = httptools.HttpResponseParser(object())
"""Takes the place of a lost connection's parser."""


class Headers:
    """Header fields in the order in which they came; names are lower-case bytes."""

    __slots__ = ("_first", "_items")

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._items = list(items)
        self._first = dict(reversed(self._items))

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of `name` (lower case), or None."""
        return self._first.get(name)

    def items(self) -> list[tuple[bytes, bytes]]:
        """Return all fields."""
        return self._items


class Sink(Protocol):
    """Where an answer goes: first head, then data any number of times, then end or failed, once."""

    def head(self, status: int, headers: Headers) -> None:
        """Take the final reply's status and headers."""

    def data(self, data: bytes) -> None:
        """Take a part of the body, without its framing."""

    def end(self) -> None:
        """Take note that the body is complete; the connection is free again."""

    def failed(self, error: UpstreamError) -> None:
        """Take note that nothing more will come."""


class Wire(asyncio.Protocol):
    """A connection that carries one request at a time.

    Args:
        freed: called when the answer is complete and the connection may carry another request.
        lost: called when the connection is gone, whatever it was doing.
    """

    __slots__ = (
        "_between", "_buffer", "_complete", "_early", "_excess", "_expects_body", "_fields",
        "_freed", "_interim", "_keep_alive", "_lane", "_left",
        "_lost", "_mode", "_parser", "_parts", "_paused", "_sink",
        "idle", "idle_since", "transport", "used",
    )  # fmt: skip

    def __init__(self, freed: Callable[[Wire], None], lost: Callable[[Wire], None]) -> None:
        self._freed = freed
        self._lost = lost
        self._sink: Sink | None = None
        self._lane: Lane | None = None
        self._mode = _IDLE
        self._buffer = b""
        self._between = False  # the parser has read a chunk to its end, and nothing after it
        self._parts: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._paused = False
        self.idle = False
        self.idle_since = 0.0
        self.used = False  # whether it has carried a request before this one
        self.transport: asyncio.Transport | None = None

    # What the owner does.

    def send(self, request: bytes, sink: Sink, *, expects_body: bool = True) -> None:
        """Write a whole request, and deliver its answer to `sink`."""
        self._sink = sink
        self._lane = None
        self._mode = _HEAD
        self._buffer = b""
        self._interim = 0
        self._expects_body = expects_body
        self._excess = False
        self._early = False
        if self.transport is None or self.transport.is_closing():
            self._fail(
                Stale("the pooled connection was closed")
                if self.used
                else Closed("the connection was closed")
            )
            return
        self.transport.write(request)

    def abort(self) -> None:
        """Drop the connection now; the sink hears nothing more."""
        self._sink = None
        self._lane = None
        self._mode = _IDLE
        if self.transport is not None:
            self.transport.abort()

    def open(self, lane: Lane) -> None:
        """Let chunks that the lane carries pass the sink by, until something else comes.

        Without effect on an answer that is not chunked, or that stops within a chunk.
        """
        if self._mode == _CHUNKED and self._between:
            self._lane = lane

    def pause(self) -> None:
        """Read nothing more from the backend until `resume`."""
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self.transport is not None:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    @property
    def closing(self) -> bool:
        """Whether it can carry no request."""
        return self.transport is None or self.transport.is_closing()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102  asyncio.Protocol
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102  asyncio.Protocol
        self.transport = None
        self._parser = _NOBODYS  # its own knows this connection, which knows it
        self._lost(self)
        if self._sink is None:
            return
        if self._mode == _UNTIL_CLOSE and exc is None:
            self._finish()
        elif self._mode == _HEAD and not self._buffer and not self._interim and self.used:
            self._fail(Stale("the pooled connection was closed"))
        else:
            self._fail(Closed("the connection ended before the answer did"))

    def data_received(self, data: bytes) -> None:  # noqa: D102  asyncio.Protocol
        lane = self._lane
        if lane is not None:
            if lane.carries(data):
                return
            self._lane = None
        mode = self._mode
        if mode == _HEAD:
            self._read_head(data)
        elif mode == _CHUNKED:
            self._read_chunked(data)
        elif mode == _LENGTH:
            self._read_length(data)
        elif mode == _UNTIL_CLOSE and self._sink is not None:
            self._sink.data(data)
        else:
            self.abort()  # bytes that nobody asked for: whatever they are, they answer no request

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102  httptools
        self._fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:  # noqa: D102  httptools
        self._parts.append(body)

    def on_chunk_header(self) -> None:  # noqa: D102  httptools
        self._between = False

    def on_chunk_complete(self) -> None:  # noqa: D102  httptools
        self._between = True

    def on_message_begin(self) -> None:  # noqa: D102  httptools
        if self._complete:
            self._excess = True

    def on_message_complete(self) -> None:  # noqa: D102  httptools
        self._complete = True

    # How an answer is read.

    def _read_head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:  # noqa: PLR2004  find() said -1
            self._buffer = data
            if len(data) > MAX_HEAD_BYTES:
                self._break("its head is too long")
            return
        self._buffer = b""
        self._fields = []
        self._complete = False
        self._between = False
        self._keep_alive = data.startswith(b"HTTP/1.1")
        self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(data[:end])
        except httptools.HttpParserUpgrade:
            self._break("it switched protocols")
            return
        except httptools.HttpParserError:
            self._break("its head is not HTTP/1.1")
            return
        self._final_or_interim(self._parser.get_status_code(), data[end:])

    def _final_or_interim(self, status: int, rest: bytes) -> None:
        if status < 200:  # noqa: PLR2004  the first final status
            self._interim += 1
            if status == HTTP_SWITCHING or self._interim > MAX_INTERIM_REPLIES:
                self._break("it sent interim replies that were not asked for")
            elif rest:
                self._read_head(rest)
            return
        if self.transport is not None and self.transport.get_write_buffer_size():
            self._early = True
        sink = self._sink
        if sink is None:
            return
        headers = Headers(self._fields)
        self._set_mode(status, headers)
        if self._sink is not sink:
            return
        sink.head(status, headers)
        if self._sink is not sink:
            return
        if self._mode == _LENGTH and self._left == 0:
            self._excess = bool(rest)
            self._finish()
        elif rest:
            self.data_received(rest)

    def _set_mode(self, status: int, headers: Headers) -> None:
        # Not should_keep_alive(): when a message is complete, httptools forgets its headers.
        options = headers.get(b"connection")
        if options is not None and b"close" in options.lower():
            self._keep_alive = False
        coding = headers.get(b"transfer-encoding")
        length = headers.get(b"content-length")
        if not self._expects_body or status in {204, 304}:
            self._mode, self._left = _LENGTH, 0
        elif coding is not None:
            if coding.strip().lower() != b"chunked":
                self._break("its transfer coding is not chunked")
            self._mode = _CHUNKED
        elif length is not None:
            self._mode, self._left = _LENGTH, int(length)  # httptools checked that it is one number
        else:
            self._mode = _UNTIL_CLOSE

    def _read_length(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            return
        if len(data) > self._left:
            self._excess = True
            data = data[: self._left]
        self._left -= len(data)
        sink.data(data)
        if self._left == 0 and self._sink is sink:
            self._finish()

    def _read_chunked(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            return
        if self._between:
            content = whole_chunk(data)
            if content:
                sink.data(content)
                return
        broken = False
        parts: list[bytes] = []
        self._parts = parts
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            broken = True
        self._between = self._between and data.endswith(b"\r\n")
        if parts:
            sink.data(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._sink is not sink:
            return
        if self._complete:
            self._excess = self._excess or broken
            self._finish()
        elif broken:
            self._break("its chunks are malformed")

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        self._lane = None
        reusable = (
            self._mode != _UNTIL_CLOSE
            and not self._excess
            and not self._early
            and not self.closing
            and self._keep_alive
        )
        self._mode = _IDLE
        if self._paused:
            self.resume()
        if reusable:
            self.used = True
            self._freed(self)
        elif self.transport is not None:
            self.transport.close()
        if sink is not None:
            sink.end()

    def _break(self, why: str) -> None:
        self._fail(ProtocolBroken(f"the answer cannot be read: {why}"))
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, error: UpstreamError) -> None:
        sink, self._sink = self._sink, None
        self._lane = None
        self._mode = _IDLE
        if sink is not None:
            sink.failed(error)
