"""A streamed answer, event by event, without any I/O.

`Filter` is what stands between a backend's stream and the client: it holds back what carries
nothing generated, so that a stream that dies before its first token can be tried elsewhere; it
reads the usage and hides it from a client that did not ask; it knows a complete stream from one
that only ended. Once something generated has passed, whole blocks of events pass without a parse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from mypy_extensions import mypyc_attr

from hybrid_router.openai.answer import lenient_usage
from hybrid_router.openai.errors import error_event
from hybrid_router.openai.plain import Plain, plain
from hybrid_router.openai.shapes import Event

if TYPE_CHECKING:
    from hybrid_router.openai.errors import ApiError
    from hybrid_router.openai.shapes import Usage

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
MAX_HELD_BYTES: Final = 1024 * 1024

DONE: Final = b"[DONE]"
ABORTED: Final = b'"abort"'
"""vLLM's finish reason for a request that it gave up, as when it shuts down."""

# Two line ends, each of them CRLF, LF or CR (WHATWG HTML, "server-sent events"). The group is
# atomic: one CRLF must not count as CR and LF.
_blank_line: Final = re.compile(rb"(?>\r\n|\n|\r){2}")
_line_end: Final = re.compile(rb"\r\n|\n|\r")
_NULL: Final = msgspec.Raw(b"null")
_NO_CHOICES: Final = msgspec.Raw(b"[]")
_NO_ERROR: Final = frozenset({b"null", b"false", b"{}", b'""'})


_event: Final = msgspec.json.Decoder(Event)
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the complete events of `data`, blank lines included, and the rest."""
    if data.find(b"\r") < 0:
        events = data.split(b"\n\n")
        rest = events.pop()
        return [event + b"\n\n" for event in events], rest
    events, start = [], 0
    for match in _blank_line.finditer(data):
        events.append(data[start : match.end()])
        start = match.end()
    return events, data[start:]


def payload(event: bytes) -> bytes | None:
    """Return an event's data; None for comments, pings and events without data."""
    one_line = event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0
    if one_line and event.startswith(b"data: "):
        return event[6:-2]
    fields = (line for line in _line_end.split(event) if line.startswith(b"data:"))
    lines = [line[6:] if line[5:6] == b" " else line[5:] for line in fields]
    return b"\n".join(lines) if lines else None


def generates(choices: list[dict[str, Any]]) -> bool:
    """Return whether a chunk's choices carry something generated.

    That is anything in `delta` besides the role, or anything beside `delta` and `index`: text, a
    finish reason, log-probabilities. What a later release of the API adds counts as well.
    """
    for choice in choices:
        for name, value in choice.items():
            if name == "delta":
                if isinstance(value, dict) and any(
                    item for key, item in value.items() if key != "role"
                ):
                    return True
            elif name != "index" and value:
                return True
    return False


@mypyc_attr(allow_interpreted_subclasses=True)
class EventFilter:
    """A stream that passes event by event, held back up to the commit boundary.

    Attributes:
        committed: something generated has been let through.
        done: the terminator has been let through; the stream is complete.
        failure: why the stream is none, or can not go on; None as long as all is well.
        told: the failure is an error event of the backend's, and the client has got it.
        usage: as the backend said.
        events: with data, let through; about one token each.
    """

    __slots__ = (
        "_held", "_held_bytes", "_rest",
        "committed", "done", "events", "failure", "told", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._rest = b""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.committed = False
        self.done = False
        self.failure: str | None = None
        self.told = False
        self.usage: Usage | None = None
        self.events = 0

    def pattern(self) -> Plain | None:
        """Return what the next events are like that may pass unread; None if none may."""
        return None

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        """Take an event, and append to `passed` what the client may have now."""
        raise NotImplementedError

    def _events(self, data: bytes) -> bytes:
        """Take a part of the body event by event; return what the client may have now."""
        events, self._rest = split(self._rest + data if self._rest else data)
        passed: list[bytes] = []
        for event in events:
            if self.done or self.failure is not None:
                break
            self._take(event, passed)
        if len(self._rest) > MAX_EVENT_BYTES:
            self.failure = "an event is too long"
        return b"".join(passed)

    def _commit(self, passed: list[bytes]) -> None:
        self.committed = True
        passed += self._held
        self._held.clear()

    def _pass(self, event: bytes, passed: list[bytes], *, generated: bool) -> None:
        """Let an event through, or hold it back until one carries something generated."""
        if self.committed:
            passed.append(event)
            return
        self._held.append(event)
        self._held_bytes += len(event)
        if generated:
            self._commit(passed)
        elif self.done:
            self.done = False
            self.failure = "the stream ended before anything was generated"
        elif self._held_bytes > MAX_HELD_BYTES:
            self.failure = "the stream says too much before anything is generated"


class Filter(EventFilter):
    """What a client gets of a backend's stream.

    Args:
        hides_usage: the router asked for the usage, the client did not.
    """

    __slots__ = ("_hides_usage", "_plain")

    def __init__(self, *, hides_usage: bool) -> None:
        super().__init__()
        self._hides_usage = hides_usage
        self._plain: Plain | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""
        if not self.committed or self._rest or self.done:
            return self._events(data)
        if self._plain is not None and self._plain.holds(data):
            self.events += 1
            return data
        if not _passes(data):
            return self._events(data)
        events = data.count(b"\n\n")
        self.events += events
        if events == 1:
            self._plain = plain(data) or self._plain
        return data

    def pattern(self) -> Plain | None:
        """Return what the next events are like that may pass unread; None if none may."""
        if not self.committed or self._rest or self.done or self.failure is not None:
            return None
        return self._plain

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        return error_event(error)

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        if self.committed:
            passed.append(self._after(event))
        elif self._before(event):
            self._commit(passed)

    def _before(self, event: bytes) -> bool:
        """Hold back an event; return whether it is the first that carries something generated."""
        first = False
        data = payload(event)
        if data is not None:
            if data == DONE:
                self.failure = "the stream ended before anything was generated"
                return False
            try:
                parsed = _event.decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                self.failure = "an event is not a JSON object of the OpenAI API"
                return False
            if parsed.error or parsed.object == "error":
                self.failure = "the stream began with an error"
                return False
            if ABORTED in data and _is_aborted(data):
                self.failure = "the backend gave the stream up"
                return False
            first = generates(parsed.choices or [])
            event = self._account(event, data) if b'"usage"' in data else event
            self.events += first
        self._held.append(event)
        self._held_bytes += len(event)
        if self._held_bytes > MAX_HELD_BYTES:
            self.failure = "the stream says too much before anything is generated"
        return first

    def _after(self, event: bytes) -> bytes:
        """Return what the client gets of an event once something generated has passed."""
        data = payload(event)
        if data is None:
            return event
        if data == DONE:
            self.done = True
            return event
        if ABORTED in data and _is_aborted(data):
            self.failure = "the backend gave the stream up"
            return b""
        if b'"error"' in data:
            try:
                failed = _is_error(data)
            except (msgspec.DecodeError, RecursionError):
                self.failure = "an event is not a JSON object of the OpenAI API"
                return b""
            if failed:
                self.failure = "the backend reported an error in the middle of the stream"
                self.told = True
                return event
        self.events += 1
        return self._account(event, data) if b'"usage"' in data else event

    def _account(self, event: bytes, data: bytes) -> bytes:
        """Read the usage; return the event without it where the client did not ask."""
        try:
            fields = _fields.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return event
        raw = fields.pop("usage", None)
        if raw is None:
            return event
        self.usage = lenient_usage(raw) or self.usage
        if not self._hides_usage:
            return event
        if bytes(raw) != b"null" and bytes(fields.get("choices", _NO_CHOICES)) == b"[]":
            self.events -= 1
            return b""
        return b"data: " + _encode(fields) + b"\n\n"


def _passes(data: bytes) -> bool:
    """Return whether these are whole events that say nothing which needs attention."""
    # find() and not `in`: that tries its operand as a number first, and drops the error, for
    # twice the price.
    return (
        data.endswith(b"\n\n")
        and data.find(b'"usage"') < 0
        and data.find(b'"error"') < 0
        and data.find(ABORTED) < 0
        and data.find(DONE) < 0
        and data.find(b"\r") < 0
    )


def _is_aborted(data: bytes) -> bool:
    """Return whether it says that nothing more will come, or says nothing that can be read."""
    try:
        choices = _event.decode(data).choices or []
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return True
    return any(choice.get("finish_reason") == "abort" for choice in choices)


def _is_error(data: bytes) -> bool:
    fields = _fields.decode(data)
    if bytes(fields.get("choices", _NO_CHOICES)).strip(b"[] \n"):
        return False
    error = bytes(fields.get("error", _NULL))
    return error not in _NO_ERROR or bytes(fields.get("object", _NULL)) == b'"error"'
