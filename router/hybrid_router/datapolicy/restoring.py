"""Puts the values back into an answer: whole, or streamed in whatever pieces it comes.

A model repeats a placeholder token by token, so a stream may cut it anywhere: between two pieces of
the network, and between two events. An event whose text ends in what may be the beginning of a
placeholder waits for the next event of the same text, for a few events at most. In the arguments of
a tool, which are JSON within a string, a value is written with JSON's escapes; likewise in the text
of an answer that was asked for as JSON.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hybrid_router.datapolicy.redaction import LONGEST, Vault, quoted
from hybrid_router.openai.sse import payload, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_router.server.exchange import Flow
    from hybrid_router.upstream.attempt import Downstream

MAX_WAITING = 64
"""Events that wait for the rest of a placeholder, at most."""
JSON_FIELDS = frozenset({"arguments", "partial_json"})
"""Fields whose text is itself JSON."""
ANSWER_FIELDS = frozenset({"content", "text"})
"""Fields of the answer's text, which is JSON where the request asked for that."""
_ANSWER_EVENT = "response.output_text.delta"
"""The event whose `delta` is a piece of it, in OpenAI's responses."""

_begun = re.compile(r"\[(?:[A-Z][A-Z0-9-]{0,63}(?:_[0-9]{0,6})?)?$")
_SSE = b"text/event-stream"


def _escaped(value: str) -> str:
    """Return a value as it stands inside a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def restored(body: bytes, vault: Vault) -> bytes:
    """Return a whole JSON answer, or any other text, with the values put back."""
    if b"_" not in body or b"[" not in body:
        return body
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return vault.restore(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    changed = _Restorer(vault).restore(value, "")
    return _dumped(changed) if changed != value else body


def _dumped(value: Any) -> bytes:  # noqa: ANN401  JSON
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


class _Restorer:
    """Restores every string below a value."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def restore(self, value: Any, name: str) -> Any:  # noqa: ANN401  JSON
        """Return `value` with the values put back; `name` is that of the field it is in."""
        if isinstance(value, str):
            is_json = name in JSON_FIELDS or (self._vault.in_json and name in ANSWER_FIELDS)
            return self._vault.restore(value, _escaped if is_json else None)
        if isinstance(value, dict):
            put_back = self._vault.restore
            return {put_back(key): self.restore(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restore(item, name) for item in value]
        return value


class _Changed:
    """An event that is written anew when it is let through."""

    __slots__ = ("_event", "_value")

    def __init__(self, event: bytes, value: dict[str, Any]) -> None:
        self._event = event
        self._value = value

    def written(self) -> bytes:
        """Return the event: its other fields (`event:`, `id:`) as they came."""
        head = self._event[: self._event.find(b"data:")]
        return head + b"data: " + _dumped(self._value) + b"\n\n"


class Events:
    """A stream of events, restored.

    Args:
        vault: the values.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._rest = b""
        self._queue: list[_Changed | bytes] = []
        self._open: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        """The last place of every text that ends in what may be a placeholder's beginning."""

    def feed(self, data: bytes) -> bytes:
        """Take a part of the stream and return what the client may have now."""
        events, self._rest = split(self._rest + data)
        for event in events:
            self._take(event)
        if not self._open or len(self._queue) > MAX_WAITING:
            return self._flush()
        return b""

    def end(self) -> bytes:
        """Return what still waits."""
        rest, self._rest = self._rest, b""
        return self._flush() + rest

    def _flush(self) -> bytes:
        out = [item if isinstance(item, bytes) else item.written() for item in self._queue]
        self._queue.clear()
        self._open.clear()
        return b"".join(out)

    def _take(self, event: bytes) -> None:
        data = payload(event)
        try:
            value = json.loads(data) if data is not None else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._queue.append(event)
            return
        stream = (value.get("type"), value.get("item_id"), value.get("index"))
        places = list(_texts(value, stream))
        changed = sum(self._continue(*place) for place in places)  # every one, so not `any`
        self._queue.append(_Changed(event, value) if changed else event)

    def _continue(self, name: tuple[Any, ...], container: Any, key: Any) -> bool:  # noqa: ANN401
        """Restore one text, with what an earlier event of it left open; return if it changed."""
        text: str = container[key]
        before = self._open.pop(name, None)
        if before is not None:
            holder, place = before
            held = holder[place]
            start = _opening(held)
            text = held[start:] + text
            holder[place] = held[:start]
        # OpenAI's responses stream a tool's arguments as `delta` of an event named for them.
        is_json = key in JSON_FIELDS or "arguments" in str(name[0])
        if self._vault.in_json and (key in ANSWER_FIELDS or name[0] == _ANSWER_EVENT):
            is_json = True
        new = self._vault.restore(text, _escaped if is_json else None)
        changed = before is not None or new != container[key]
        container[key] = new
        if _opening(new) is None:
            return changed
        self._open[name] = (container, key)
        return True


def _opening(text: str) -> int | None:
    """Return where the beginning of a placeholder stands at the end of `text`, if there is one."""
    match = _begun.search(text, max(0, len(text) - LONGEST))
    return match.start() if match is not None else None


def _texts(value: Any, name: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:  # noqa: ANN401
    """Yield the places of an event's texts, each after what names it in the whole stream."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if "[" in item or key in STREAMED:
                    yield (*name, key), value, key
            elif isinstance(item, dict | list):
                yield from _texts(item, (*name, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            index = item.get("index", place) if isinstance(item, dict) else place
            if isinstance(item, str):
                yield (*name, index), value, place
            else:
                yield from _texts(item, (*name, index))


STREAMED = frozenset(
    {"content", "text", "arguments", "partial_json", "thinking", "refusal", "delta", "reasoning",
     "reasoning_content"}
)  # fmt: skip
"""Fields of events that carry pieces of a text."""


class Restoring:
    """The client's side of an attempt whose request was redacted; an `attempt.Downstream`.

    Args:
        client: gets the answer with the values put back.
        vault: the values.
    """

    def __init__(self, client: Downstream, vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._events: Events | None = None
        self._rest = ""

    @property
    def flow(self) -> Flow | None:
        """Told when the client reads too slowly."""
        return self._client.flow

    @flow.setter
    def flow(self, flow: Flow | None) -> None:
        self._client.flow = flow

    def attach(self, flow: Flow) -> None:
        """Go on with an answer that something else produces from now on."""
        self._client.attach(flow)

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer as a whole."""
        self._client.reply(status, headers, restored(body, self._vault))

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Begin an answer in parts; its length is not known any more."""
        del length
        if _SSE in headers.lower():
            self._events = Events(self._vault)
        self._client.start(status, headers)

    def send(self, data: bytes) -> None:
        """Send a part."""
        passed = self._events.feed(data) if self._events is not None else self._plain(data)
        if passed:
            self._client.send(passed)

    def chunked(self) -> None:
        """Nothing passes unread."""

    def finish(self) -> None:
        """End the answer."""
        rest = self._events.end() if self._events is not None else self._plain(b"", last=True)
        if rest:
            self._client.send(rest)
        self._client.finish()

    def cut(self) -> None:
        """Break the answer off."""
        self._client.cut()

    def _plain(self, data: bytes, *, last: bool = False) -> bytes:
        """Restore an answer too large to be held, as it flows: JSON, its strings not told apart."""
        text = self._rest + data.decode("latin-1")
        start = None if last else _opening(text)
        self._rest = text[start:] if start is not None else ""
        whole = text[:start] if start is not None else text
        return self._vault.restore(whole, _latin).encode("latin-1")


def _latin(value: str) -> str:
    """Return a value inside a JSON string, its UTF-8 bytes as characters."""
    return quoted(value)[1:-1].decode("latin-1")
