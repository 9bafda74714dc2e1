"""The short way of a streamed chunk: from the backend's connection to the client's.

Between a stream's beginning and its end every chunk is one event, alike but for a piece of text.
What the relay would do with it comes to the same each time: count it, and write what was read; of
a stream that can be resumed, without the token ids, which are kept. A lane does that where the
connection reads, with nothing in between. Whatever is not such a chunk, to the byte, goes the long
way, and the lane is closed until the relay opens it again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hybrid_router.chunks import LINES, whole_chunk

if TYPE_CHECKING:
    import asyncio

    from hybrid_router.openai.plain import Plain
    from hybrid_router.openai.tokens import Tokens


class Lane:
    """Passes the text events of one stream, each a chunk of its own.

    Args:
        client: where chunks are written with their framing.
        pattern: what the events are like when the client gets them.
        tokens: takes the ids out, of a stream that has them; None passes events as they came.

    Attributes:
        pattern: may be learnt anew.
        events: let through; about one token each.
        last: moment of the last one, seconds of the monotonic clock.
    """

    __slots__ = ("_client", "_tokens", "events", "last", "pattern")

    def __init__(
        self, client: asyncio.WriteTransport, pattern: Plain, tokens: Tokens | None
    ) -> None:
        self._client = client
        self._tokens = tokens
        self.pattern = pattern
        self.events = 0
        self.last = 0.0

    def carries(self, data: bytes) -> bool:
        """Pass `data` on if it is one such chunk; return whether it is."""
        event = whole_chunk(data)
        if not event:
            return False
        tokens = self._tokens
        if tokens is None:
            if not self.pattern.holds(event):
                return False
        else:
            event = tokens.cut(event)
            if not event:
                return False
            data = LINES[len(event)] + event + b"\r\n"
        self.events += 1
        self.last = time.monotonic()
        client = self._client
        if not client.is_closing():
            client.write(data)
        return True
