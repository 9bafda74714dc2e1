"""Scripted models that do as they are asked: they call a tool, keep to a schema, or say a sentence.

One for each dialect; what they say is the same, so that answers can be compared across dialects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support import messages_upstreams as m
from tests.support.upstreams import (
    ROLE,
    SSE_HEAD,
    USAGE,
    Talk,
    completion,
    delta,
    finish,
    response,
    usage_chunk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SAYS = ("It ", "is ", "sunny.")
SCHEMA_SAYS = ('{"city":', '"Paris"}')
ARGUMENTS = ('{"city":', '"Paris"}')


async def speaks_chat(talk: Talk) -> None:
    """Answer a chat completion."""
    asked = talk.request.json()
    if "max_tokens" in asked and asked["max_tokens"] == 1:
        error = {"message": "that is too little", "type": "invalid_request_error", "code": "x"}
        await talk.send(response(400, json.dumps({"error": error}).encode()))
        return
    name = _tool(asked.get("tools"), asked["messages"], "function")
    parts = SCHEMA_SAYS if asked.get("response_format") else SAYS
    if asked.get("stream"):
        await _stream_chat(talk, name, parts, asked)
        return
    body = completion("".join(parts))
    body["choices"][0]["logprobs"] = None
    body["choices"][0]["message"] |= {"refusal": None, "annotations": []}
    if name is not None:
        function = {"name": name, "arguments": "".join(ARGUMENTS)}
        call = {"id": "call_1", "type": "function", "function": function}
        body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        body["choices"][0]["finish_reason"] = "tool_calls"
    await talk.send(response(200, json.dumps(body).encode()))


async def _stream_chat(
    talk: Talk, name: str | None, parts: Sequence[str], asked: dict[str, Any]
) -> None:
    await talk.send(SSE_HEAD)
    await talk.event(ROLE)
    if name is None:
        for part in parts:
            await talk.event(delta(content=part))
    else:
        begun = {"name": name, "arguments": ""}
        call = {"index": 0, "id": "call_1", "type": "function", "function": begun}
        await talk.event(delta(tool_calls=[call]))
        for part in ARGUMENTS:
            await talk.event(delta(tool_calls=[{"index": 0, "function": {"arguments": part}}]))
    await talk.event(finish("stop" if name is None else "tool_calls"))
    if (asked.get("stream_options") or {}).get("include_usage"):
        await talk.event(usage_chunk())
    await talk.event(b"[DONE]")
    await talk.last_chunk()


async def speaks_messages(talk: Talk) -> None:
    """Answer a message, or a count of its tokens."""
    asked = talk.request.json()
    if talk.request.path.endswith("/count_tokens"):
        await talk.send(response(200, b'{"input_tokens":7}'))
        return
    if asked["max_tokens"] == 1:
        error = {"type": "invalid_request_error", "message": "that is too little"}
        await talk.send(response(400, json.dumps({"type": "error", "error": error}).encode()))
        return
    name = _tool(asked.get("tools"), asked["messages"], None)
    parts = SCHEMA_SAYS if (asked.get("output_config") or {}).get("format") else SAYS
    if asked.get("stream"):
        block = m.text(0, *parts) if name is None else m.tool(0, *ARGUMENTS, name=name)
        end = m.end("end_turn" if name is None else "tool_use")
        await m.plays(m.start(), m.PING, *block, *end)(talk)
        return
    content = m.said("".join(parts))
    if name is not None:
        content = m.tool_use(name, city="Paris")
    stop = "end_turn" if name is None else "tool_use"
    await talk.send(response(200, json.dumps(m.message(content, stop=stop)).encode()))


def _tool(
    tools: Sequence[dict[str, Any]] | None, turns: Sequence[Any], inside: str | None
) -> str | None:
    """Return the name of the tool to call: the first, until a turn brings its result."""
    if not tools or "tool_result" in json.dumps(turns) or turns[-1].get("role") == "tool":
        return None
    tool = tools[0] if inside is None else tools[0][inside]
    return str(tool["name"])


TOKENS = (USAGE["prompt_tokens"], USAGE["completion_tokens"])
"""Of every answer, in either dialect."""
