"""The access log: one JSON line per request, for machines.

It never holds a prompt, an answer, a key or a query string; a key is named by its id.
"""

from __future__ import annotations

from typing import BinaryIO

import msgspec


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, as logged."""

    time: float
    """When it was answered, in seconds since 1970."""
    request_id: str
    surface: str
    status: int
    seconds: float
    model: str = ""
    """As in the table; empty if the table does not know it."""
    source: str = ""
    backend: str = ""
    reason: str = ""
    confidence: float | None = None
    data_classes: tuple[str, ...] = ()
    intent: str | None = None
    rule: str | None = None
    """The rule of the policy that matched."""
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    key: str | None = None
    """The id of the client's key."""


class AccessLog:
    """Writes lines to a stream; stops for good, quietly, when nobody reads it any more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, access: Access) -> None:
        """Write one line."""
        if self._stream is None:
            return
        try:
            self._stream.write(self._encoder.encode(access) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):  # a pipe that was closed must not fail a request
            self._stream = None
