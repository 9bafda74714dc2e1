"""A request of OpenAI's Responses API as a chat completion.

What leads to something that a backend keeps, or to a tool of OpenAI's own, cannot be said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.body import filled, lenient, shaped
from hybrid_router.openai.request import parse
from hybrid_router.responses.request import PINNED
from hybrid_router.translate.pieces import InexpressibleError

if TYPE_CHECKING:
    from hybrid_router.openai.request import Call
    from hybrid_router.responses.request import ResponsesCall

_EXCLUDING = (*PINNED, "top_logprobs")
_NEUTRAL = frozenset({b"null", b"{}", b"[]", b"0", b"false", b'"auto"', b'"disabled"'})
"""Values that ask for what happens anyway."""

_Object = dict[str, Any]


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _Item(msgspec.Struct):
    """An item of any type; each has some of these."""

    type: str = "message"
    role: str = "user"
    content: str | list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[_Part] | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning: _Reasoning | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw()
    temperature: float | None = None
    text: _Text | None = None
    tool_choice: str | _Tool | None = None
    tools: list[_Tool] | None = None
    top_p: float | None = None
    user: str | None = None


_KNOWN = frozenset(_Request.__struct_fields__)


def to_chat(call: ResponsesCall) -> tuple[Call, list[str]]:
    """Return the chat that asks for the same, and what had to be left out.

    Raises:
        ApiError: 400, the request is malformed.
        InexpressibleError: a chat cannot say it.
    """
    for name in _EXCLUDING:
        if filled(call.fields, name) and bytes(call.fields[name]) != b"0":
            raise InexpressibleError(name)
    request = shaped(call.body, _Request)
    unknown = sorted(call.fields.keys() - _KNOWN)
    dropped = [name for name in unknown if bytes(call.fields[name]) not in _NEUTRAL]
    chat: _Object = {
        "model": call.model,
        "messages": _messages(request),
        "max_tokens": request.max_output_tokens,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        "reasoning_effort": request.reasoning.effort if request.reasoning is not None else None,
        "response_format": _format(request),
        "stream": request.stream,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "user": request.user,
        **_tools(request),
    }
    said = {name: value for name, value in chat.items() if value is not None}
    return parse("chat", msgspec.json.encode(said)), dropped


def echoed(call: ResponsesCall) -> _Object:
    """Return what a response says of the request that it answers."""
    fields = call.fields

    def said(name: str, default: object) -> object:
        raw = fields.get(name)
        return default if raw is None or bytes(raw) == b"null" else raw

    return {
        "background": False,
        "frequency_penalty": 0.0,
        "instructions": said("instructions", None),
        "max_output_tokens": said("max_output_tokens", None),
        "max_tool_calls": None,
        "metadata": said("metadata", {}),
        "parallel_tool_calls": said("parallel_tool_calls", default=True),
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": said("prompt_cache_key", None),
        "reasoning": said("reasoning", {"effort": None, "summary": None}),
        "safety_identifier": said("safety_identifier", None),
        "service_tier": "default",
        "store": False,
        "temperature": said("temperature", 1.0),
        "text": said("text", {"format": {"type": "text"}}),
        "tool_choice": said("tool_choice", "auto"),
        "tools": [
            {"description": None, "parameters": None, "strict": None, **tool}
            for tool in lenient(fields["tools"], list[_Object] | None) or ()
        ]
        if "tools" in fields
        else [],
        "top_logprobs": 0,
        "top_p": said("top_p", 1.0),
        "truncation": "disabled",
    }


def _messages(request: _Request) -> list[_Object]:
    found: list[_Object] = []
    if request.instructions:
        found.append({"role": "system", "content": request.instructions})
    if isinstance(request.input, str):
        return [*found, {"role": "user", "content": request.input}]
    for index, item in enumerate(request.input):
        _add_item(item, f"input[{index}]", found)
    return found


def _add_item(item: _Item, where: str, found: list[_Object]) -> None:
    if item.type == "message":
        found.append({"role": item.role, "content": _content(item.content, where)})
    elif item.type == "function_call":
        function = {"name": item.name, "arguments": item.arguments or "{}"}
        call = {"id": item.call_id, "type": "function", "function": function}
        if not found or found[-1]["role"] != "assistant":
            found.append({"role": "assistant", "content": None})
        found[-1].setdefault("tool_calls", []).append(call)
    elif item.type == "function_call_output":
        content = _content(item.output, where)
        found.append({"role": "tool", "tool_call_id": item.call_id, "content": content})
    elif item.type != "reasoning":
        raise InexpressibleError(f"{where} of type {item.type}")


def _content(content: str | list[_Part] | None, where: str) -> str | list[_Object]:
    if isinstance(content, str) or content is None:
        return content or ""
    parts = [_part(part, where) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: _Part, where: str) -> _Object:
    if part.type in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": part.text or ""}
    if part.type == "refusal":
        return {"type": "text", "text": part.refusal or ""}
    if part.type == "input_image" and part.image_url is not None:
        detail = {"detail": part.detail} if part.detail is not None else {}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
    if part.type == "input_file" and part.file_data is not None:
        file = {"filename": part.filename or "file", "file_data": part.file_data}
        return {"type": "file", "file": file}
    raise InexpressibleError(f"{where} with a part of type {part.type}")


def _format(request: _Request) -> _Object | None:
    wanted = request.text.format if request.text is not None else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    described = {
        "name": wanted.name,
        "description": wanted.description,
        "schema": wanted.schema,
        "strict": wanted.strict,
    }
    said = {name: value for name, value in described.items() if value is not None}
    return {"type": "json_schema", "json_schema": said}


def _tools(request: _Request) -> _Object:
    if not request.tools:
        return {}
    found: _Object = {"tools": [_tool(tool, i) for i, tool in enumerate(request.tools)]}
    choice = request.tool_choice
    if isinstance(choice, _Tool):
        if choice.type != "function":
            raise InexpressibleError(f"tool_choice of type {choice.type}")
        found["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        found["tool_choice"] = choice
    return found


def _tool(tool: _Tool, index: int) -> _Object:
    if tool.type != "function":
        raise InexpressibleError(f"tools[{index}] of type {tool.type}")
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    function = {name: value for name, value in described.items() if value is not None}
    return {"type": "function", "function": function}
