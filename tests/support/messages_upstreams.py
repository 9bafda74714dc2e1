"""Scripted backends that speak Anthropic's Messages API; behaviours for `upstreams.Upstream`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.upstreams import SSE_HEAD, Talk, response

if TYPE_CHECKING:
    from tests.support.upstreams import Behaviour

USAGE = {
    "cache_creation": None,
    "inference_geo": None,
    "output_tokens_details": None,
    "server_tool_use": None,
    "service_tier": "standard",
    "input_tokens": 5,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 2,
    "output_tokens": 2,
}


def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """Return a whole message; "hello" without content."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content) or [said("hello")],
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": USAGE,
    }


def said(text: str) -> dict[str, Any]:
    """Return a block of text."""
    return {"type": "text", "text": text, "citations": None}


def tool_use(name: str = "f", **arguments: Any) -> dict[str, Any]:
    """Return the block of a tool's call."""
    caller = {"type": "direct"}
    return {
        "type": "tool_use", "id": "toolu_1", "name": name, "input": arguments, "caller": caller,
    }  # fmt: skip


def named(name: str, **fields: Any) -> bytes:
    """Return one event."""
    data = json.dumps({"type": name, **fields})
    return f"event: {name}\ndata: {data}\n\n".encode()


def start() -> bytes:
    """Return the event that a stream begins with."""
    begun = {**message(), "content": [], "stop_reason": None}
    begun["usage"] = {**USAGE, "output_tokens": 1}
    return named("message_start", message=begun)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    """Return the events of a block."""
    return [
        named("content_block_start", index=index, content_block=content),
        *(named("content_block_delta", index=index, delta=delta) for delta in deltas),
        named("content_block_stop", index=index),
    ]


def text(index: int, *parts: str) -> list[bytes]:
    """Return the events of a block of text."""
    deltas = ({"type": "text_delta", "text": part} for part in parts)
    return block(index, said(""), *deltas)


def tool(index: int, *parts: str, name: str = "f") -> list[bytes]:
    """Return the events of a tool's call."""
    deltas = ({"type": "input_json_delta", "partial_json": part} for part in parts)
    return block(index, tool_use(name), *deltas)


def end(stop: str = "end_turn") -> list[bytes]:
    """Return the events that end a stream."""
    usage = {"output_tokens": 2}
    delta = {"stop_reason": stop, "stop_sequence": None}
    return [named("message_delta", delta=delta, usage=usage), named("message_stop")]


PING = named("ping")
ERROR = named("error", error={"type": "overloaded_error", "message": "Overloaded"})


def plays(*events: bytes, cut: bool = False) -> Behaviour:
    """Stream these events; with `cut` the connection breaks after them."""

    async def behave(talk: Talk) -> None:
        await talk.send(SSE_HEAD)
        for each in events:
            await talk.chunk(each)
        if cut:
            talk.close()
        else:
            await talk.last_chunk()

    return behave


def answers_messages(content: str = "hello") -> Behaviour:
    """Answer as asked: a message, streamed or not, or a count of tokens."""

    async def behave(talk: Talk) -> None:
        if talk.request.path.endswith("/count_tokens"):
            body = json.dumps({"input_tokens": 42}).encode()
            await talk.send(response(200, body))
        elif talk.request.json().get("stream"):
            await plays(start(), PING, *text(0, *content), *end())(talk)
        else:
            whole = message(said(content))
            await talk.send(response(200, json.dumps(whole).encode()))

    return behave
