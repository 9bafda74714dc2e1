"""Answers that are read in one dialect and written in another, held back as all others are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.sse import EventFilter, payload
from hybrid_router.translate.pieces import PING, Begin, NotUnderstoodError, Ping, Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.openai.errors import ApiError
    from hybrid_router.openai.shapes import Usage
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


class TranslatedStream(EventFilter):
    """A stream that is read in one dialect and written in another, event by event."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, reader: Reader, writer: Writer) -> None:
        super().__init__()
        self._reader = reader
        self._writer = writer

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""
        passed = self._events(data)
        self.usage = self._reader.usage
        return passed

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
            self._commit(passed)
        passed.append(written)
