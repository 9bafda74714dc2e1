"""A draft: an answer whose log-probabilities are read before the client gets any of it.

They are asked for by the router, so that no client sees them: chunks and answers pass without.
Which requests have no draft, and why, says `undraftable`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.core.cascade import Sureness
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.body import filled, lenient
from hybrid_router.openai.logprobs import Position
from hybrid_router.openai.sse import DONE, MAX_EVENT_BYTES, MAX_HELD_BYTES, payload, split
from hybrid_router.openai.tokens import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hybrid_router.openai.body import Fields
    from hybrid_router.openai.request import Call, Kind

TOP = 3
"""Tokens asked for at each place: the one that was said may come first among them, as in vLLM, and
the two likeliest are wanted."""
ASKED: Mapping[Kind, Mapping[str, object]] = {
    "chat": {"logprobs": True, "top_logprobs": TOP},
    "completions": {"logprobs": TOP},
}
"""Fields that ask for log-probabilities, by the surface."""

_HINDRANCES = ("tools", "functions", "use_beam_search", "echo", "prompt_logprobs")
_Fields = dict[str, msgspec.Raw]
_NULL = msgspec.Raw(b"null")


class _Logprobs(msgspec.Struct):
    """Those of a chat stand in `content`, those of a completion in two lists."""

    content: list[Position] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


_fields = msgspec.json.Decoder(_Fields)
_choices = msgspec.json.Decoder(list[_Fields])
_logprobs = msgspec.json.Decoder(_Logprobs | None)
_encode = msgspec.json.Encoder().encode


def undraftable(call: Call) -> str | None:
    """Return what of a request forbids a draft; None where nothing does.

    Calls of tools are not sentences whose words could be sure, several answers are not one, and
    log-probabilities that the client asked for are the client's.
    """
    fields = call.fields
    for name in _HINDRANCES:
        if filled(fields, name):
            return name
    for name in ("n", "best_of"):
        if name in fields and (lenient(fields[name], int) or 1) > 1:
            return name
    if _wants_logprobs(fields):
        return "logprobs"
    if call.kind == "completions" and bytes(memoryview(fields["prompt"])[:1]) != b'"':
        return "prompt"  # several prompts, or token ids
    return None


def _wants_logprobs(fields: Fields) -> bool:
    include = fields.get("include")
    return (
        filled(fields, "logprobs")
        or filled(fields, "top_logprobs")
        or (include is not None and b"logprobs" in bytes(include))
    )


class _Meter:
    """Adds up log-probabilities, of the first tokens.

    Attributes:
        seen: tokens that came.
    """

    __slots__ = ("_limit", "_logprob", "_margin", "seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._logprob = self._margin = 0.0
        self.seen = 0

    def take(self, raw: msgspec.Raw) -> None:
        """Take a choice's `logprobs`; what has another shape says nothing."""
        try:
            found = _logprobs.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        if found is None:
            return
        for position in found.content or ():
            self._add(position.logprob, [each.logprob for each in position.top_logprobs])
        tops = found.top_logprobs or []
        for index, logprob in enumerate(found.token_logprobs or ()):
            if logprob is not None:
                top = tops[index] if index < len(tops) else None
                self._add(logprob, (top or {}).values())

    @property
    def full(self) -> bool:
        return self.seen >= self._limit

    @property
    def sureness(self) -> Sureness | None:
        count = min(self.seen, self._limit)
        return Sureness(self._logprob / count, self._margin / count, count) if count else None

    def _add(self, logprob: float, top: Iterable[float]) -> None:
        if self.seen < self._limit:
            likely = sorted(top, reverse=True)
            if logprob not in likely:
                likely = sorted((*likely, logprob), reverse=True)
            first = math.exp(min(likely[0], 0.0))
            second = math.exp(likely[1]) if len(likely) > 1 else 1.0 - first
            self._logprob += min(logprob, 0.0)
            self._margin += max(first - second, 0.0)
        self.seen += 1


class Held:
    """A stream without its log-probabilities, held until they say enough.

    Attributes:
        ready: enough tokens came, or the last one.
        released: the client has, or is to have, what comes.
        failure: why the stream is none; only found while it is held.
    """

    __slots__ = ("_bytes", "_events", "_meter", "_rest", "failure", "ready", "released")

    def __init__(self, tokens: int) -> None:
        self._meter = _Meter(tokens)
        self._rest = b""
        self._events: list[bytes] = []
        self._bytes = 0
        self.ready = False
        self.released = False
        self.failure: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body; return what may pass of it: nothing while it is held."""
        events, self._rest = split(self._rest + data)
        if len(self._rest) > MAX_EVENT_BYTES:
            self.failure = "an event is too long"
        passed = [self._event(event) for event in events]
        if self.released:
            return b"".join(passed)
        self._events += passed
        self._bytes += sum(map(len, passed))
        if self._bytes > MAX_HELD_BYTES:
            self.failure = "the stream says too much before it can be judged"
        self.ready = self.ready or self._meter.full
        return b""

    def release(self) -> bytes:
        """Return what was held; from here on everything passes."""
        self.released = True
        held = b"".join(self._events)
        self._events.clear()
        return held

    @property
    def sureness(self) -> Sureness | None:
        """What the log-probabilities say; None where none came."""
        return self._meter.sureness

    @property
    def seen(self) -> int:
        """Tokens that came while it was held."""
        return self._meter.seen

    def _event(self, event: bytes) -> bytes:
        data = payload(event)
        if data is None:
            return event
        if data == DONE:
            self.ready = True
            return event
        try:
            fields = _fields.decode(data)
            choices = _choices.decode(fields.get("choices", b"[]"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.failure = "an event is not a JSON object of the OpenAI API"
            return event
        error, kind = bytes(fields.get("error", _NULL)), bytes(fields.get("object", _NULL))
        if error != b"null" or kind == b'"error"':
            self.failure = "the stream began with an error"
        changed = [self._choice(choice) for choice in choices]
        if not any(changed):
            return event
        fields["choices"] = msgspec.Raw(_encode(choices))
        return b"data: " + _encode(fields) + b"\n\n"

    def _choice(self, choice: _Fields) -> bool:
        """Take one choice's log-probabilities; return whether that changed it."""
        finish = bytes(choice.get("finish_reason", _NULL))
        if finish in INTERRUPTED:
            self.failure = "the backend gave the stream up"
        elif finish != b"null":
            self.ready = True
        return _strip(choice, None if self.released else self._meter)


def read_whole(body: bytes, tokens: int) -> tuple[bytes, Sureness | None]:
    """Return a complete answer without its log-probabilities, and what they say.

    Raises:
        NotAnAnswerError: it is none.
    """
    try:
        fields = _fields.decode(body)
        choices = _choices.decode(fields.get("choices", b"null"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswerError("the answer is not a JSON object of the OpenAI API") from None
    meter = _Meter(tokens)
    for choice in choices:
        _strip(choice, meter)
    fields["choices"] = msgspec.Raw(_encode(choices))
    return _encode(fields), meter.sureness


def _strip(choice: _Fields, meter: _Meter | None) -> bool:
    raw = choice.get("logprobs")
    if raw is None or bytes(raw) == b"null":
        return False
    if meter is not None:
        meter.take(raw)
    choice["logprobs"] = _NULL
    return True
