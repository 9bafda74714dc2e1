"""Whole chunks of a chunked body (RFC 9112, 7.1), told by their length alone.

Engines write an event as a chunk of its own, so that most of what arrives is one chunk from its
first byte to its last. How many bytes there are says which size line it must begin with.
"""

from __future__ import annotations

from typing import Final

MAX_CONTENT: Final = 4095
LINES: Final = [b"%x\r\n" % size for size in range(MAX_CONTENT + 1)]
"""The size line of every chunk with up to 4,095 bytes."""
BEGINS: Final = [b""] * (len(LINES[-1]) + MAX_CONTENT + 3)
"""By the size of a whole chunk, framing included: its size line. Empty where no chunk has it."""
for _size, _line in enumerate(LINES):
    BEGINS[len(_line) + _size + 2] = _line if _size else b""


def whole_chunk(data: bytes) -> bytes:
    """Return the content of the chunk that `data` is; empty if it is none, several or a part."""
    line = BEGINS[len(data)] if len(data) < len(BEGINS) else b""
    if line and data[: len(line)] == line and data[-2:] == b"\r\n":
        return data[len(line) : -2]
    return b""
