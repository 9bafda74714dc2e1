"""An answer of the Messages API, read as far as the router needs it."""

from __future__ import annotations

import msgspec

from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.shapes import Usage


class WireUsage(msgspec.Struct):
    """`usage` as it stands in answers, in `message_start` and in `message_delta`.

    `input_tokens` are those that no cache was involved in.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None

    def over(self, earlier: Usage | None) -> Usage:
        """Return it as the router counts it; what it does not say stays as it was before."""
        before = earlier or Usage(0, 0)
        cached = self.cache_read_input_tokens
        if self.input_tokens is None:
            prompt, cached = before.prompt, before.cached
        else:
            cached = cached or 0
            prompt = self.input_tokens + cached + (self.cache_creation_input_tokens or 0)
        out = self.output_tokens
        return Usage(prompt, before.completion if out is None else out, cached or 0)


class _Answer(msgspec.Struct):
    type: str = ""
    content: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Count(msgspec.Struct):
    input_tokens: int


_answer = msgspec.json.Decoder(_Answer)
_count = msgspec.json.Decoder(_Count)
_usage = msgspec.json.Decoder(WireUsage | None)


def read_usage(body: bytes) -> Usage | None:
    """Return the usage of a complete message, or None if it has none.

    Raises:
        NotAnAnswerError: not a message.
    """
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer is not a JSON object of the Messages API") from None
    if answer.type != "message" or answer.content is None:
        raise NotAnAnswerError("the answer is not a message")
    return lenient_usage(answer.usage, None)


def lenient_usage(raw: msgspec.Raw, earlier: Usage | None) -> Usage | None:
    """Return what `usage` counts beside what was known; None where it is of another shape."""
    try:
        found = _usage.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return earlier
    return found.over(earlier) if found is not None else earlier


def check_count(body: bytes) -> None:
    """Check the answer of `count_tokens`.

    Raises:
        NotAnAnswerError: it counts nothing.
    """
    try:
        _count.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer does not count tokens") from None


def is_error(body: bytes) -> bool:
    """Return whether an error has Anthropic's form."""
    try:
        return _answer.decode(body).type == "error"
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
