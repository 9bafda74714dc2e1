"""The middle that answers are translated through: what a model says, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from hybrid_router.openai.shapes import Usage

if TYPE_CHECKING:
    from hybrid_router.openai.errors import ApiError

Reason = Literal["stop", "sequence", "length", "tools", "filter"]
"""Why a model ended: by itself, at a stop sequence, at a limit, to call tools, by moderation."""


class Begin(msgspec.Struct, frozen=True):
    """An answer begins; nothing is generated yet."""

    id: str
    model: str
    prompt_tokens: int = 0
    """As far as the backend says so at the beginning."""


class Text(msgspec.Struct, frozen=True):
    """A part of the answer's text."""

    text: str
    kind: Literal["text", "reasoning", "refusal"] = "text"


class Tool(msgspec.Struct, frozen=True):
    """A call of a tool begins: the `index`-th of the answer."""

    index: int
    id: str
    name: str


class Arguments(msgspec.Struct, frozen=True):
    """A part of a tool's arguments (JSON)."""

    index: int
    text: str


class End(msgspec.Struct, frozen=True):
    """The model has ended."""

    reason: Reason
    sequence: str | None = None
    """The stop sequence, where the backend names it."""


class Ping(msgspec.Struct, frozen=True):
    """The backend lives, and says nothing."""


Piece = Begin | Text | Tool | Arguments | End | Ping
PING = Ping()


class ToolCall(msgspec.Struct, frozen=True):
    """A whole call of a tool."""

    id: str
    name: str
    arguments: str
    """JSON."""


class Whole(msgspec.Struct, frozen=True):
    """A whole answer."""

    id: str
    model: str
    text: str
    reasoning: str
    refusal: str
    tools: tuple[ToolCall, ...]
    end: End
    usage: Usage | None


class InexpressibleError(Exception):
    """A backend's form cannot say what a request asks for; the text names the field."""


class NotUnderstoodError(ValueError):
    """An event or answer cannot be translated; the text names the kind of fault only."""


class Reader(Protocol):
    """Reads a backend's answer.

    Attributes:
        usage: as the backend said.
        done: the stream is complete.
    """

    usage: Usage | None
    done: bool

    def pieces(self, data: bytes) -> list[Piece]:
        """Return what an event's data says.

        Raises:
            NotUnderstoodError: it is an error, or none of the dialect's events.
        """

    def whole(self, body: bytes) -> Whole:
        """Return a complete answer.

        Raises:
            NotUnderstoodError: it is none.
        """

    def message(self, body: bytes) -> str:
        """Return the text of an error; empty where it has none."""


class Writer(Protocol):
    """Writes an answer in the client's form."""

    def piece(self, piece: Piece) -> bytes:
        """Return the events for a piece; may be none.

        Raises:
            NotUnderstoodError: the client's form cannot say it at this place.
        """

    def end(self, usage: Usage | None) -> bytes:
        """Return the events that end a complete stream."""

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""

    def whole(self, whole: Whole) -> bytes:
        """Return a whole answer."""

    def error(self, status: int, message: str) -> bytes:
        """Return the body of an error of the backend's."""
