"""An answer of the Responses API, read as far as the router needs it."""

from __future__ import annotations

import msgspec

from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.shapes import Usage


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """`usage` as it stands in a response."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None

    def counted(self) -> Usage:
        """Return it as the router counts it."""
        details = self.input_tokens_details
        cached = (details.cached_tokens or 0) if details is not None else 0
        return Usage(self.input_tokens, self.output_tokens, cached)


class _Answer(msgspec.Struct):
    output: list[msgspec.Raw] | None = None
    status: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")


_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(WireUsage | None)


def read_usage(body: bytes) -> Usage | None:
    """Return the usage of a complete response, or None if it has none.

    Raises:
        NotAnAnswerError: not a response, or one that failed without an output.
    """
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer is not a JSON object of the Responses API") from None
    if answer.output is None:
        raise NotAnAnswerError("the answer has no output")
    if answer.status == "failed" and not answer.output:
        raise NotAnAnswerError("the response failed")
    return lenient_usage(answer.usage)


def lenient_usage(raw: msgspec.Raw) -> Usage | None:
    """Return what `usage` counts; None where it is away, null or of another shape."""
    try:
        found = _usage.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found.counted() if found is not None else None
