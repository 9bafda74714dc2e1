"""A backend's answer, read as far as the router needs it: its usage, and whether it is one."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hybrid_router.openai.shapes import Answer, Chat, Error, ErrorAnswer, Usage, WireUsage


class NotAnAnswerError(ValueError):
    """The body is not what the OpenAI API answers; the text names the kind of fault only."""


_decoder: Final = msgspec.json.Decoder(Answer)
_usage_decoder = msgspec.json.Decoder(WireUsage | None)
_error_decoder: Final = msgspec.json.Decoder(ErrorAnswer)

_LIST: Final = re.compile(rb"\[\s*[^\s\]]")
"""How a list begins that is not empty."""
_ABORTED: Final = b'"finish_reason":"abort"'
"""vLLM's, for a request that it gave up, as when it shuts down."""
_TOO_LONG: Final[tuple[str, ...]] = (
    "maximum context length",
    "context_length_exceeded",
    "context window",
    "prompt is too long",
    "exceed context limit",
)


def read_usage(body: bytes) -> Usage | None:
    """Return the usage of a complete answer, or None if it has none.

    Raises:
        NotAnAnswerError: not a JSON object, an error, or without anything generated.
    """
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer is not a JSON object of the OpenAI API") from None
    if not _filled(answer.choices) and not _filled(answer.data):
        raise NotAnAnswerError("the answer has neither choices nor data")
    if body.find(_ABORTED) >= 0:  # never within a string, whose quotes are escaped
        raise NotAnAnswerError("the backend gave the answer up")
    return lenient_usage(answer.usage)


def lenient_usage(raw: msgspec.Raw) -> Usage | None:
    """Return what `usage` counts; None where it is away, null or of another shape.

    An answer is not refused for that: its tokens are then estimated.
    """
    try:
        found = _usage_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found.counted() if found is not None else None


def _filled(raw: msgspec.Raw) -> bool:
    return _LIST.match(raw) is not None


def is_context_length(body: bytes) -> bool:
    """Return whether an error says that the prompt is too long for the model.

    OpenAI says so by code; vLLM by the sentence "This model's maximum context length is ...";
    Anthropic by "prompt is too long: N tokens > M maximum".
    """
    try:
        answer = _error_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    error = answer.error or Error()
    text = f"{error.code} {error.message} {answer.message}".lower()
    return any(sign in text for sign in _TOO_LONG)


def error_message(body: bytes) -> str:
    """Return the words of a backend's error, in whichever dialect; empty if it has none."""
    try:
        answer = _error_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""
    return answer.error.message if answer.error is not None else answer.message


def chat_content(body: bytes) -> str:
    """Return the text of a chat's first choice; empty if it has none.

    Raises:
        NotAnAnswerError: the answer is not a chat completion.
    """
    try:
        choices = msgspec.json.decode(body, type=Chat).choices
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer is not a chat completion") from None
    return (choices[0].message.content or "") if choices else ""
