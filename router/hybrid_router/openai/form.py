"""How a backend's answer is read, and in which form the client gets it.

One `Form` for every pair of what a backend speaks and what a client reads. Where both speak the
same, answers pass as they are and only their usage is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from hybrid_router.openai.answer import read_usage
from hybrid_router.openai.sse import Filter

if TYPE_CHECKING:
    from hybrid_router.openai.errors import ApiError
    from hybrid_router.openai.plain import Plain
    from hybrid_router.openai.shapes import Usage


class Stream(Protocol):
    """What stands between a backend's stream and the client; see `openai.sse.EventFilter`."""

    committed: bool
    done: bool
    failure: str | None
    told: bool
    usage: Usage | None
    events: int

    def pattern(self) -> Plain | None:
        """Return what the next events are like that may pass unread; None if none may."""

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""


class Form(Protocol):
    """Reads the answers of one attempt.

    Attributes:
        passes: a whole answer is the client's as it came.
    """

    passes: bool

    def stream(self) -> Stream:
        """Return what reads a streamed answer."""

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return a complete answer as the client gets it, and its usage.

        Raises:
            NotAnAnswerError: it is none.
        """

    def error(self, status: int, body: bytes) -> bytes:
        """Return an error of the backend's as the client gets it."""


class Passed:
    """OpenAI's chat completions, completions and embeddings, as they come.

    Args:
        hides_usage: the router asked for a stream's usage, the client did not.
    """

    __slots__ = ("hides_usage", "passes")

    def __init__(self, *, hides_usage: bool) -> None:
        self.hides_usage = hides_usage
        self.passes = True

    def stream(self) -> Filter:
        """Return what reads a streamed answer."""
        return Filter(hides_usage=self.hides_usage)

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return the answer and its usage.

        Raises:
            NotAnAnswerError: it is none.
        """
        return body, read_usage(body)

    def error(self, status: int, body: bytes) -> bytes:  # noqa: ARG002  Form
        """Return the error as it came."""
        return body


PASSED: Final = Passed(hides_usage=False)
HIDING_USAGE: Final = Passed(hides_usage=True)
