"""Answers that are read in one dialect and written in another, held back as all others are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.openai.answer import NotAnAnswerError, Usage
from hybrid_router.openai.sse import MAX_EVENT_BYTES, payload, split
from hybrid_router.translate.pieces import PING, Begin, NotUnderstoodError, Ping, Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.openai.errors import ApiError
    from hybrid_router.translate.pieces import Piece


class Translated:
    """An `openai.form.Form` of a reader and a writer.

    Args:
        reader: makes what reads the backend's answer.
        writer: makes what writes the client's.
    """

    __slots__ = ("_reader", "_writer", "passes")

    def __init__(self, reader: Callable[[], Reader], writer: Callable[[], Writer]) -> None:
        self._reader = reader
        self._writer = writer
        self.passes = False

    def stream(self) -> TranslatedStream:
        """Return what reads a streamed answer."""
        return TranslatedStream(self._reader(), self._writer())

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return a complete answer as the client gets it, and its usage.

        Raises:
            NotAnAnswerError: it is none.
        """
        try:
            whole = self._reader().whole(body)
            return self._writer().whole(whole), whole.usage
        except NotUnderstoodError as error:
            raise NotAnAnswerError(str(error)) from None

    def error(self, status: int, body: bytes) -> bytes:
        """Return the backend's error in the client's form, with the backend's own words."""
        message = self._reader().message(body) or f"the backend answered {status}"
        return self._writer().error(status, message)


class TranslatedStream:
    """A stream, event by event; attributes as of `openai.sse.EventFilter`."""

    __slots__ = (
        "_held", "_reader", "_rest", "_writer",
        "committed", "done", "events", "failure", "told",
    )  # fmt: skip

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._held: list[bytes] = []
        self.committed = False
        self.done = False
        self.failure: str | None = None
        self.told = False
        self.events = 0

    @property
    def usage(self) -> Usage | None:
        """The usage so far, as the backend said."""
        return self._reader.usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._reader.usage = usage

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""
        events, self._rest = split(self._rest + data if self._rest else data)
        passed: list[bytes] = []
        for event in events:
            if self.done or self.failure is not None:
                break
            self._take(event, passed)
        if len(self._rest) > MAX_EVENT_BYTES:
            self.failure = "an event is too long"
        return b"".join(passed)

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        return self._writer.broken(error)

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        data = payload(event)
        try:
            for piece in [PING] if data is None else self._reader.pieces(data):
                self._write(piece, passed)
        except NotUnderstoodError as error:
            self.failure = str(error)
            return
        if self._reader.done:
            if not self.committed:
                self.failure = "the stream ended before anything was generated"
                return
            self.done = True
            passed.append(self._writer.end(self._reader.usage))

    def _write(self, piece: Piece, passed: list[bytes]) -> None:
        if isinstance(piece, Ping):
            if self.committed:
                passed.append(self._writer.piece(piece))
            return
        written = self._writer.piece(piece)
        if isinstance(piece, Begin):
            self._held.append(written)
            return
        self.events += 1
        if not self.committed:
            self.committed = True
            passed += self._held
            self._held.clear()
        passed.append(written)
