"""Answers of the Responses API that reach a client of the Responses API: they pass as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.responses.answer import read_usage
from hybrid_router.responses.sse import ResponsesFilter

if TYPE_CHECKING:
    from hybrid_router.openai.shapes import Usage


class PassedResponses:
    """A response, as it comes (an `openai.form.Form`)."""

    passes = True

    def stream(self) -> ResponsesFilter:
        """Return what reads a streamed answer."""
        return ResponsesFilter()

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return the answer and its usage.

        Raises:
            NotAnAnswerError: it is none.
        """
        return body, read_usage(body)

    def error(self, status: int, body: bytes) -> bytes:  # noqa: ARG002  Form
        """Return the error as it came."""
        return body


RESPONSES = PassedResponses()
