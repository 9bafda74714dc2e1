"""The short way of a streamed chunk: from the backend's connection to the client's, as it came.

Between a stream's beginning and its end every chunk is one event, alike but for a piece of text.
What the relay would do with it comes to the same each time: count it, and write what was read. A
lane does that where the connection reads, with nothing in between. Whatever is not such a chunk, to
the byte, goes the long way, and the lane is closed until the relay opens it again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hybrid_router.chunks import BEGINS
from hybrid_router.openai.plain import is_piece

if TYPE_CHECKING:
    import asyncio

    from hybrid_router.openai.plain import Plain


class Lane:
    """Passes the text events of one stream, each a chunk of its own.

    Args:
        client: where chunks are written with their framing.

    Attributes:
        events: let through; about one token each.
        last: moment of the last one, seconds of the monotonic clock.
    """

    __slots__ = ("_before", "_behind", "_client", "_plain", "events", "last")

    def __init__(self, client: asyncio.WriteTransport) -> None:
        self._client = client
        self._plain: Plain | None = None
        self._before = b""
        self._behind = b""
        self.events = 0
        self.last = 0.0

    def learn(self, plain: Plain) -> None:
        """Pass what is like this from now on."""
        if plain is not self._plain:
            self._plain = plain
            self._before = plain.before
            self._behind = plain.behind + b"\r\n"

    def carries(self, data: bytes) -> bool:
        """Pass `data` on if it is one such chunk; return whether it is."""
        size = len(data)
        line = BEGINS[size] if size < len(BEGINS) else b""
        opening = len(line)
        start, end = opening + len(self._before), size - len(self._behind)
        if (
            opening == 0
            or start > end
            or data[:opening] != line
            or data[opening:start] != self._before
            or data[end:] != self._behind
            or not is_piece(data, start, end)
        ):
            return False
        self.events += 1
        self.last = time.monotonic()
        client = self._client
        if not client.is_closing():
            client.write(data)
        return True
