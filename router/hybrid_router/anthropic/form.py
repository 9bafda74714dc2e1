"""Answers of the Messages API that reach a client of the Messages API: they pass as they are."""

from __future__ import annotations

from hybrid_router.anthropic.answer import check_count, is_error, read_usage
from hybrid_router.anthropic.errors import message_body
from hybrid_router.anthropic.sse import MessagesFilter
from hybrid_router.openai.answer import error_message
from hybrid_router.openai.shapes import Usage

_NOTHING = Usage(0, 0)


class PassedMessages:
    """A message, as it comes (an `openai.form.Form`)."""

    passes = True

    def stream(self) -> MessagesFilter:
        """Return what reads a streamed answer."""
        return MessagesFilter()

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return the answer and its usage.

        Raises:
            NotAnAnswerError: it is none.
        """
        return body, read_usage(body)

    def error(self, status: int, body: bytes) -> bytes:
        """Return the error as it came, or in Anthropic's form: vLLM has OpenAI's for some."""
        if is_error(body):
            return body
        return message_body(status, error_message(body) or f"the backend answered {status}")


class PassedCount(PassedMessages):
    """A count of tokens, as it comes. Nothing is generated, and nothing is charged."""

    def whole(self, body: bytes) -> tuple[bytes, Usage | None]:
        """Return the answer.

        Raises:
            NotAnAnswerError: it is none.
        """
        check_count(body)
        return body, _NOTHING


MESSAGES = PassedMessages()
COUNT = PassedCount()
