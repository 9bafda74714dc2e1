"""A stream of the Responses API that passes as it is, held back up to the commit boundary.

Source of the events: OpenAI's API reference, "Streaming events".
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.sse import EventFilter, payload
from hybrid_router.responses.answer import lenient_usage

if TYPE_CHECKING:
    from hybrid_router.openai.errors import ApiError
    from hybrid_router.openai.shapes import Usage

_BEGINNINGS = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
        "ping",
        "keepalive",
    }
)
"""Events that carry nothing generated."""
_EMPTY_ITEMS = frozenset({"message", "reasoning"})
"""Items of the output that begin empty; the beginning of a tool call names the tool."""
_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILURES = frozenset({"response.failed", "error"})
_LAST_PARTS = (b"response.completed", b"response.incomplete", b"response.failed", b'"error"')
_number = re.compile(rb'"sequence_number": ?(\d+)')


class _Item(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    item: _Item | None = None
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")


class _Response(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


_event = msgspec.json.Decoder(_Event)
_response = msgspec.json.Decoder(_Response | None)
_object = msgspec.json.Decoder(dict[str, Any])


def _generates(event: _Event) -> bool:
    """Return whether an event carries something generated; an unknown one does."""
    if event.type in _BEGINNINGS:
        return False
    if event.type == "response.output_item.added" and event.item is not None:
        return event.item.type not in _EMPTY_ITEMS
    if event.type.endswith(".delta"):
        return bool(event.delta)
    return True


class ResponsesFilter(EventFilter):
    """What a client gets of a backend's stream; attributes as of `openai.sse.EventFilter`."""

    __slots__ = ("_begun", "_last")

    def __init__(self) -> None:
        super().__init__()
        self._begun = b"{}"  # the response as the stream began with it
        self._last = b""  # the block that the last sequence number stands in

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""
        if (
            self.committed
            and not self._rest
            and data.endswith(b"\n\n")
            and not any(part in data for part in _LAST_PARTS)
            and data.find(b"\r") < 0
            and not self.done
        ):
            self.events += data.count(b".delta\n")
            self._last = data
            return data
        return self._events(data)

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on: `response.failed`."""
        found = _number.findall(self._last)
        return failed_event(self._begun, error, int(found[-1]) + 1 if found else 0)

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        data = payload(event)
        first = False
        if data is not None and data != b"[DONE]":  # some servers end with OpenAI's older word
            try:
                parsed = _event.decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                if not self.committed:
                    self.failure = "an event is not a JSON object of the Responses API"
                    return
                parsed = _Event()
            self._last = data
            if parsed.type in _FAILURES:
                self._fail(event, passed)
                return
            first = self._read(parsed)
        self._pass(event, passed, generated=first)

    def _fail(self, event: bytes, passed: list[bytes]) -> None:
        where = "in the middle of" if self.committed else "at the beginning of"
        self.failure = f"the backend reported an error {where} the stream"
        self.told = self.committed
        if self.told:
            passed.append(event)

    def _read(self, event: _Event) -> bool:
        """Take note of an event; return whether it carries something generated."""
        if event.type == "response.created":
            self._begun = bytes(event.response)
        elif event.type in _ENDS:
            self.done = True
            self.usage = _usage_of(event.response) or self.usage
        elif event.type.endswith(".delta"):
            self.events += 1
        return _generates(event)


def failed_event(begun: bytes, error: ApiError, number: int) -> bytes:
    """Return a `response.failed` event.

    Args:
        begun: the response (JSON) as the stream began with it.
        error: why it failed.
        number: the event's place in the stream.
    """
    try:
        response = _object.decode(begun)
    except msgspec.DecodeError:
        response = {}
    response = {
        "id": "resp_broken",
        "object": "response",
        "created_at": int(time.time()),
        "model": "",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **response,
        "status": "failed",
        "error": {"code": "server_error", "message": error.message},
    }
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return b"event: response.failed\ndata: " + msgspec.json.encode(event) + b"\n\n"


def _usage_of(response: msgspec.Raw) -> Usage | None:
    try:
        found = _response.decode(response)
    except (msgspec.DecodeError, RecursionError):
        return None
    return lenient_usage(found.usage) if found is not None else None
