"""Scripted backends that speak OpenAI's Responses API; behaviours for `upstreams.Upstream`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.messages_upstreams import plays
from tests.support.upstreams import Talk, response

if TYPE_CHECKING:
    from tests.support.upstreams import Behaviour

USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 9,
}


def whole(text: str = "hello", status: str = "completed", **fields: Any) -> dict[str, Any]:
    """Return a whole response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "up",
        "output": [item(text)],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE,
        **fields,
    }


def item(text: str) -> dict[str, Any]:
    """Return the item of a message."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def begun() -> dict[str, Any]:
    """Return the response that a stream begins with."""
    return whole(status="in_progress", output=[], usage=None)


def stream(*parts: str) -> list[bytes]:
    """Return the events of a stream that says these parts of a text."""
    place = {"item_id": "msg_1", "output_index": 0}
    inside = {**place, "content_index": 0}
    text = "".join(parts)
    empty = {**item(""), "content": [], "status": "in_progress"}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun()}),
        ("response.in_progress", {"response": begun()}),
        ("response.output_item.added", {"output_index": 0, "item": empty}),
        ("response.content_part.added", {**inside, "part": item("")["content"][0]}),
        *(("response.output_text.delta", {**inside, "delta": part}) for part in parts),
        ("response.output_text.done", {**inside, "text": text}),
        ("response.content_part.done", {**inside, "part": item(text)["content"][0]}),
        ("response.output_item.done", {"output_index": 0, "item": item(text)}),
        ("response.completed", {"response": whole(text)}),
    ]
    return [_event(name, number, fields) for number, (name, fields) in enumerate(events)]


def _event(name: str, number: int, fields: dict[str, Any]) -> bytes:
    data = json.dumps({"type": name, "sequence_number": number, **fields})
    return f"event: {name}\ndata: {data}\n\n".encode()


FAILED = _event(
    "response.failed",
    4,
    {"response": whole(status="failed", output=[], error={"code": "server_error", "message": "x"})},
)


def answers_responses(content: str = "hello") -> Behaviour:
    """Answer as asked: a response, streamed or not."""

    async def behave(talk: Talk) -> None:
        if talk.request.json().get("stream"):
            await plays(*stream(*content))(talk)
        else:
            await talk.send(response(200, json.dumps(whole(content)).encode()))

    return behave
