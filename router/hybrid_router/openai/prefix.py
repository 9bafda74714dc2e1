"""How a request begins: what an engine's prefix cache would find again.

Read from the parsed head of the messages, up to the first user turn, and never further: the length
of a conversation does not matter. What is hashed is bounded, too.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from hybrid_router.core.balance import Prefix

if TYPE_CHECKING:
    from hybrid_router.openai.request import Call

HEADS = (4 * 1024, 64 * 1024)
"""Bytes of the messages that are read; the second only where the first turn is not in the first."""
SHARED_BYTES = 4 * 1024
OWN_BYTES = 1024
"""Bytes that are hashed of tools and system prompt, and of the first user turn."""

_read = json.JSONDecoder().raw_decode


def prefix(call: Call, model: str) -> Prefix:
    """Return how `call` begins at a backend that knows the model, or the adapter, as `model`."""
    fields = call.fields
    if call.kind != "chat":
        text = bytes(memoryview(fields.get("prompt") or b"")[:OWN_BYTES])
        shared = _hash(0, model.encode())
        return Prefix(shared, _hash(shared, text))
    system, first = _turns(memoryview(fields["messages"]))
    tools = fields.get("tools")
    if tools is not None:
        system = bytes(memoryview(tools)[:SHARED_BYTES]) + system
    shared = _hash(0, model.encode() + b"\0" + system[:SHARED_BYTES])
    return Prefix(shared, _hash(shared, first[:OWN_BYTES]))


def _turns(raw: memoryview) -> tuple[bytes, bytes]:
    """Return the text before the first user turn, and the beginning of that turn."""
    before: list[str] = []
    first = ""
    for size in HEADS:
        head = bytes(raw[:size]).decode(errors="replace")
        before, first, whole = _until_user(head)
        if whole or len(raw) <= size:
            break
    return "\0".join(before).encode(errors="replace"), first.encode(errors="replace")


def _until_user(head: str) -> tuple[list[str], str, bool]:
    """Return the texts before the first user turn, that turn, and whether it is whole.

    Of a turn that is larger than the head, its beginning tells it as well.
    """
    before: list[str] = []
    at = 1
    while True:
        at = _skip(head, at)
        try:
            message, at = _read(head, at)
        except (ValueError, RecursionError):
            return before, head[at : at + OWN_BYTES], False
        if not isinstance(message, dict):
            return before, "", True
        text = _text(message.get("content"))
        if message.get("role") == "user":
            return before, text, True
        before.append(text)


def _skip(head: str, at: int) -> int:
    """Return the place of the next value."""
    while at < len(head) and head[at] in ", \n\r\t":
        at += 1
    return at


def _text(content: Any) -> str:  # noqa: ANN401  whatever JSON holds
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\0".join(text for text in parts if isinstance(text, str))
    return ""


def _hash(start: int, data: bytes) -> int:
    key = start.to_bytes(8, "little")
    return int.from_bytes(blake2b(data, digest_size=8, key=key).digest(), "little")
