"""Bodies that arrive in chunks (RFC 9112, 7.1), read strictly and without I/O."""

from __future__ import annotations

import re
from typing import Final

from hybrid_router.server.request import bad

MAX_LINE_BYTES: Final = 1024
MAX_TRAILER_BYTES: Final = 8 * 1024
FREE_CHUNKS: Final = 4096
LEAST_CHUNK_BYTES: Final = 64

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3
_size: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~]*)?")
_trailer: Final = re.compile(rb"[!#-'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")


class ChunkedBody:
    """Takes the framing off a body. Extensions are ignored, trailers are checked and dropped.

    Attributes:
        announced: bytes of the chunks that were begun.
        complete: the last chunk and its trailers have been read.
        rest: what came after it.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_left",
        "_state",
        "_trailers",
        "announced",
        "complete",
        "rest",
    )

    def __init__(self) -> None:
        self._state = _SIZE
        self._buffer = b""
        self._left = 0
        self._chunks = 0
        self.announced = 0
        self._trailers = 0
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the part of the body that `data` brings.

        Raises:
            ApiError: 400, the framing is wrong.
        """
        data = self._buffer + data
        parts: list[bytes] = []
        at = 0
        while at < len(data) and not self.complete:
            if self._state == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if self._left == 0:
                    self._state = _DATA_END
                continue
            end = data.find(b"\r\n", at, at + MAX_LINE_BYTES + 2)
            if end < 0:
                if b"\n" in data[at:]:
                    raise bad("lines between chunks end with CRLF")
                if len(data) - at > MAX_LINE_BYTES:
                    raise bad("a line between chunks is too long")
                break
            self._line(data[at:end])
            at = end + 2
        if self.complete:
            self.rest = data[at:]
        else:
            self._buffer = data[at:]
        return b"".join(parts)

    def _line(self, line: bytes) -> None:
        if self._state == _DATA_END:
            if line:
                raise bad("a chunk is longer than it says")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._begin(line)
        elif line:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILER_BYTES or _trailer.fullmatch(line) is None:
                raise bad("the trailers are malformed or too long")
        else:
            self.complete = True

    def _begin(self, line: bytes) -> None:
        found = _size.fullmatch(line)
        if found is None:
            raise bad("a chunk's size is malformed")
        self._left = int(found.group(1), 16)
        self.announced += self._left
        self._chunks += 1
        if self._chunks > FREE_CHUNKS + self.announced // LEAST_CHUNK_BYTES:
            raise bad("the chunks are too small; send larger ones")
        self._state = _DATA if self._left else _TRAILER
