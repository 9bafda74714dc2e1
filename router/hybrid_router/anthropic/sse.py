"""A stream of the Messages API that passes as it is, held back up to the commit boundary.

Source of the events: Anthropic's API reference, "Streaming messages".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_router.anthropic.answer import lenient_usage
from hybrid_router.anthropic.errors import error_event
from hybrid_router.openai.sse import EventFilter, payload

if TYPE_CHECKING:
    from hybrid_router.openai.errors import ApiError

_GENERATED_BLOCKS = frozenset({"text", "thinking"})
"""Blocks that begin empty; every other one says something by its beginning: a tool's name."""


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class _Delta(msgspec.Struct):
    stop_reason: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Message(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


class Event(msgspec.Struct):
    """What the router reads of an event."""

    type: str = ""
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_event = msgspec.json.Decoder(Event)


def generates(event: Event) -> bool:
    """Return whether an event carries something generated; an unknown one does."""
    if event.type in {"message_start", "ping", "content_block_stop", "message_stop"}:
        return False
    if event.type == "content_block_start":
        block = event.content_block or _Block()
        return block.type not in _GENERATED_BLOCKS or bool(block.text or block.thinking)
    if event.type == "content_block_delta":
        delta = event.delta or _Delta()
        said = (delta.text, delta.thinking, delta.partial_json)
        return any(said) or all(part is None for part in said)
    if event.type == "message_delta":
        return event.delta is not None and event.delta.stop_reason is not None
    return True


class MessagesFilter(EventFilter):
    """What a client gets of a backend's stream; attributes as of `openai.sse.EventFilter`."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body and return what the client may have now."""
        if (
            self.committed
            and not self._rest
            and data.endswith(b"\n\n")
            and data.find(b'"usage"') < 0
            and data.find(b'"error"') < 0
            and data.find(b"message_stop") < 0
            and data.find(b"\r") < 0
            and not self.done
        ):
            self.events += data.count(b"event: content_block_delta")
            return data
        return self._events(data)

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        return error_event(error)

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        data = payload(event)
        first = False
        if data is not None:
            try:
                parsed = _event.decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                if not self.committed:
                    self.failure = "an event is not a JSON object of the Messages API"
                    return
                parsed = Event()
            first = self._read(parsed)
            if self.failure is not None:
                if self.told:
                    passed.append(event)
                return
        self._pass(event, passed, generated=first)

    def _read(self, event: Event) -> bool:
        """Take note of an event; return whether it carries something generated."""
        if event.type == "error":
            self.told = self.committed
            where = "in the middle of" if self.committed else "at the beginning of"
            self.failure = f"the backend reported an error {where} the stream"
            return False
        if event.type == "message_start" and event.message is not None:
            self.usage = lenient_usage(event.message.usage, self.usage)
        elif event.type == "message_delta":
            self.usage = lenient_usage(event.usage, self.usage)
        elif event.type == "message_stop":
            self.done = True
        elif event.type == "content_block_delta":
            self.events += 1
        return generates(event)
