"""How a request begins: what an engine's prefix cache would find again.

Read from the parsed head of the messages, up to the first user turn, and never further: the length
of a conversation does not matter. What is hashed is bounded, too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import msgspec

from hybrid_router.core.balance import Prefix
from hybrid_router.quotes import escaped

if TYPE_CHECKING:
    from hybrid_router.openai.request import Call

HEADS: Final[tuple[int, ...]] = (4 * 1024, 64 * 1024)
"""Bytes of the messages that are read; the second only where the first turn is not in the first."""
SHARED_BYTES: Final = 4 * 1024
OWN_BYTES: Final = 1024
"""Bytes that are hashed of tools and system prompt, and of the first user turn."""

_BESIDE: Final[tuple[str, ...]] = ("tools", "system", "instructions")
"""Fields beside the messages that a prompt begins with, on the surfaces that have them."""
_CONTENT: Final[tuple[str, ...]] = ("messages", "input", "prompt")

_OPENED: Final = re.compile(rb'[\[,]\s*\{\s*"role"\s*:\s*"([a-z]+)"\s*,\s*"content"\s*:\s*"')
_CLOSED: Final = re.compile(rb'"\s*\}')
"""Around a message of one text."""
_GAP: Final = re.compile(r"[,\s]*")
_USER: Final = re.compile(r'\{\s*"role"\s*:\s*"user"')
_read: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed lacks it


def prefix(call: Call, model: str) -> Prefix:
    """Return how `call` begins at a backend that knows the model, or the adapter, as `model`."""
    fields = call.fields
    parts = [model.encode()]
    parts += [bytes(memoryview(fields[n])[:SHARED_BYTES]) for n in _BESIDE if n in fields]
    named = [n for n in _CONTENT if n in fields]
    raw = fields[named[0]] if named else msgspec.Raw()
    turns = _plain_turns(raw) or _turns(raw) if "prompt" not in fields else None
    if turns is not None:
        system, first = turns
        parts.append(system[:SHARED_BYTES])
    else:
        first = bytes(memoryview(raw)[:OWN_BYTES])
    # 32 bits are plenty to choose among replicas, and it need not be hard to find two alike: the
    # load of a replica is bounded.
    shared = crc32(b"\0".join(parts))
    return Prefix(shared, crc32(first[:OWN_BYTES], shared))


def _plain_turns(raw: msgspec.Raw) -> tuple[bytes, bytes] | None:
    """Return what `_turns` does, if the messages are of the commonest form; None otherwise.

    Of a user turn that goes on behind the head, its beginning is enough.
    """
    head = bytes(memoryview(raw)[: HEADS[0]])
    before: list[bytes] = []
    at = 0
    while (opened := _OPENED.match(head, at)) is not None:
        at = opened.end()
        end = _end(head, at)
        user = opened[1] == b"user"
        text = head[at:end] if end >= 0 else head[at : at + OWN_BYTES]
        escapes = text.find(b"\\") >= 0
        if end < 0:
            whole = user and not escapes and len(text) == OWN_BYTES
            return (b"\0".join(before), text) if whole else None
        closed = _CLOSED.match(head, end)
        if closed is None:
            return None
        if escapes:
            try:
                text = msgspec.json.decode(head[at - 1 : end + 1], type=str).encode()
            except ValueError:
                return None  # a lone surrogate, for one
        if user:
            return b"\0".join(before), text
        before.append(text)
        at = closed.end()
    return None


def _end(head: bytes, at: int) -> int:
    """Return the place of the quote that ends a string; -1 if it is not there."""
    end = head.find(b'"', at)
    while end > at and escaped(head, end, at):
        end = head.find(b'"', end + 1)
    return end


def _turns(messages: msgspec.Raw) -> tuple[bytes, bytes] | None:
    """Return the text before the first user turn, and the beginning of that turn.

    None where they are no list.
    """
    raw = memoryview(messages)
    if bytes(raw[:1]) != b"[":
        return None
    before: list[str] = []
    first = ""
    for size in HEADS:
        head = bytes(raw[:size]).decode(errors="replace")
        before, first, found = _until_user(head)
        if found or len(raw) <= size:
            break
    return "\0".join(before).encode(errors="replace"), first.encode(errors="replace")


def _until_user(head: str) -> tuple[list[str], str, bool]:
    """Return the texts before the first user turn, that turn, and whether it was found.

    A turn that is larger than the head is told by its beginning.
    """
    before: list[str] = []
    at = 1
    while True:
        at = _skip(head, at)
        try:
            message, at = _read(head, at)
        except (ValueError, StopIteration, RecursionError):
            begun = head[at : at + OWN_BYTES]
            return before, begun, _USER.match(begun) is not None
        if type(message) is not dict:
            return before, "", True
        content = message.get("content")
        text = content if type(content) is str else _text(content)
        if message.get("role") == "user":
            return before, text, True
        before.append(text)


def _skip(head: str, at: int) -> int:
    """Return the place of the next value."""
    found = _GAP.match(head, at)
    return found.end() if found is not None else at


def _text(content: Any) -> str:  # noqa: ANN401  whatever JSON holds
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\0".join(text for text in parts if isinstance(text, str))
    return ""
