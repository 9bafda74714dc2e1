"""A chat completion of OpenAI's as a request of Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.body import Fields, filled, invalid, lenient, shaped
from hybrid_router.translate.pieces import InexpressibleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.request import Call

DEFAULT_MAX_TOKENS = 8_192
"""Anthropic's API needs a limit; where the client sets none, this one is sent."""

_NEUTRAL: Mapping[str, bytes] = {
    "frequency_penalty": b"0",
    "n": b"1",
    "presence_penalty": b"0",
    "top_logprobs": b"0",
}
"""Values that ask for what happens anyway, beside null, false and the empty list."""
_EXCLUDING = (
    "audio", "function_call", "functions", "logprobs", "modalities", "n", "web_search_options",
)  # fmt: skip
"""Fields without a counterpart that change what is answered, unless they ask for the usual."""
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_TEXT_ONLY = b'["text"]'
_NO_PARAMETERS = {"type": "object", "properties": {}}

_Object = dict[str, Any]


class _Image(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    file_data: str | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: _Image | str | None = None
    file: _File | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _Schema(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    safety_identifier: str | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw()
    temperature: float | None = None
    tool_choice: str | _Tool | None = None
    tools: list[_Tool] | None = None
    top_k: int | None = None
    top_p: float | None = None
    user: str | None = None


_KNOWN = frozenset(_Request.__struct_fields__)


def unfit(fields: Fields) -> str | None:
    """Return the field for which Anthropic's API cannot answer a chat; looks at the top only."""
    for name in _EXCLUDING:
        if name in fields and filled(fields, name) and not _usual(fields, name):
            return name
    if "response_format" in fields:
        chosen = lenient(fields["response_format"], _Format)
        if chosen is not None and chosen.type == "json_object":
            return "response_format of type json_object"
    if "tools" in fields:
        for tool in lenient(fields["tools"], list[_Tool] | None) or ():
            if tool.type != "function":
                return f"tools of type {tool.type}"
    return None


def _usual(fields: Fields, name: str) -> bool:
    value = bytes(fields[name])
    if name == "modalities":
        return value.replace(b" ", b"") == _TEXT_ONLY
    return value in {_NEUTRAL.get(name), b"null", b"[]", b"false", b"0.0"}


def to_messages(call: Call, model: str) -> tuple[bytes, list[str]]:
    """Return the body that asks Anthropic for the same, and what had to be left out.

    Raises:
        ApiError: 400, the request is malformed.
        InexpressibleError: the Messages API cannot say it.
    """
    reason = unfit(call.fields)
    if reason is not None:
        raise InexpressibleError(reason)
    request = shaped(call.body, _Request)
    unknown = sorted(call.fields.keys() - _KNOWN)
    dropped = [name for name in unknown if not _usual(call.fields, name)]
    temperature = request.temperature
    if temperature is not None and temperature > 1:
        dropped.append("temperature")
        temperature = 1.0
    system, messages = _messages(request.messages)
    user = request.user or request.safety_identifier
    body: _Object = {
        "model": model,
        "max_tokens": request.max_completion_tokens or request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
        "system": "\n\n".join(system) or None,
        "stream": call.stream or None,
        "temperature": temperature,
        "top_k": request.top_k,
        "top_p": request.top_p,
        "stop_sequences": [request.stop] if isinstance(request.stop, str) else request.stop,
        "metadata": {"user_id": user} if user else None,
        **_format(request),
        **_tools(request),
    }
    said = {name: value for name, value in body.items() if value is not None}
    return msgspec.json.encode(said), dropped


def _messages(messages: list[_Message]) -> tuple[list[str], list[_Object]]:
    """Return the system prompts and the turns; neighbours of one role become one."""
    system: list[str] = []
    turns: list[_Object] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if message.role in {"system", "developer"}:
            system += [block["text"] for block in _texts(message, where)]
            continue
        blocks = _turn(message, where)
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InexpressibleError("messages without a turn of the user")
    return system, turns


def _turn(message: _Message, where: str) -> list[_Object]:
    """Return what a message that is no system prompt says."""
    if message.role == "assistant":
        return _assistant(message, where)
    blocks = _blocks(message, where)
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        return [{**result, "content": blocks}]
    if message.role == "user":
        return blocks
    raise InexpressibleError(f"{where}.role {message.role}")


def _texts(message: _Message, where: str) -> list[_Object]:
    blocks = _blocks(message, where)
    if any(block["type"] != "text" for block in blocks):
        raise InexpressibleError(f"{where} with something else than text")
    return blocks


def _blocks(message: _Message, where: str) -> list[_Object]:
    """Return content as blocks; empty text, which Anthropic refuses, is none."""
    content = message.content
    if isinstance(content, str) or content is None:
        return [{"type": "text", "text": content}] if content else []
    return [block for part in content if (block := _block(part, where)) is not None]


def _block(part: _Part, where: str) -> _Object | None:
    if part.type in {"text", "refusal"}:
        text = part.text if part.type == "text" else part.refusal
        return {"type": "text", "text": text} if text else None
    if part.type == "image_url" and part.image_url is not None:
        image = part.image_url
        url = image if isinstance(image, str) else image.url
        return {"type": "image", "source": _source(url)}
    data = part.file.file_data if part.type == "file" and part.file is not None else None
    if data is not None and data.startswith("data:"):
        return {"type": "document", "source": _source(data)}
    raise InexpressibleError(f"{where} with a part of type {part.type}")


def _source(url: str) -> _Object:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url.removeprefix("data:").partition(",")
    return {"type": "base64", "media_type": head.partition(";")[0], "data": data}


def _assistant(message: _Message, where: str) -> list[_Object]:
    blocks = _blocks(message, where)
    if message.refusal:
        blocks.append({"type": "text", "text": message.refusal})
    for index, call in enumerate(message.tool_calls or ()):
        place = f"{where}.tool_calls[{index}]"
        if call.function is None:
            raise InexpressibleError(f"{place} that is no function")
        try:
            arguments = msgspec.json.decode(call.function.arguments or "{}", type=_Object)
        except (msgspec.DecodeError, RecursionError):
            raise invalid(f"{place}.function.arguments", "must be a JSON object") from None
        called = {"id": call.id, "name": call.function.name, "input": arguments}
        blocks.append({"type": "tool_use", **called})
    return blocks


def _format(request: _Request) -> _Object:
    wanted = request.response_format
    if wanted is None or wanted.json_schema is None:
        return {}
    schema = wanted.json_schema.schema or {}
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def _tools(request: _Request) -> _Object:
    if not request.tools:
        return {}
    found: _Object = {"tools": [_tool(tool, i) for i, tool in enumerate(request.tools)]}
    choice = request.tool_choice
    wanted: _Object = {}
    if isinstance(choice, _Tool):
        wanted = {"type": "tool", "name": choice.function.name if choice.function else None}
    elif choice is not None:
        if choice not in _CHOICES:
            raise invalid("tool_choice", "`tool_choice` is none of auto, required and none")
        wanted = {"type": _CHOICES[choice]}
    if request.parallel_tool_calls is False and wanted.get("type") != "none":
        wanted = {"type": "auto", **wanted, "disable_parallel_tool_use": True}
    if wanted:
        found["tool_choice"] = wanted
    return found


def _tool(tool: _Tool, index: int) -> _Object:
    function = tool.function
    if function is None:
        raise invalid(f"tools[{index}].function", f"`tools[{index}].function` is missing")
    found: _Object = {
        "name": function.name,
        "description": function.description,
        "input_schema": function.parameters or _NO_PARAMETERS,
        "strict": function.strict or None,
    }
    return {name: value for name, value in found.items() if value is not None}
