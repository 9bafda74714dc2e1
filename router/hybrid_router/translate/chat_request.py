"""A chat completion of OpenAI's as a request of Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.body import filled, invalid, lenient, typed
from hybrid_router.translate.pieces import InexpressibleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.body import Fields
    from hybrid_router.openai.request import Call

DEFAULT_MAX_TOKENS = 8_192
"""Anthropic's API needs a limit; where the client sets none, this one is sent."""

_SAME = ("top_p", "top_k")
_TRANSLATED = frozenset(
    {
        *_SAME, "max_completion_tokens", "max_tokens", "messages", "model", "parallel_tool_calls",
        "response_format", "safety_identifier", "stop", "stream", "stream_options", "temperature",
        "tool_choice", "tools", "user",
    }
)  # fmt: skip
_NEUTRAL: Mapping[str, bytes] = {
    "frequency_penalty": b"0",
    "logprobs": b"false",
    "n": b"1",
    "presence_penalty": b"0",
    "store": b"false",
    "top_logprobs": b"0",
}
"""Values that ask for what happens anyway."""
_EXCLUDING = (
    "audio", "function_call", "functions", "logprobs", "modalities", "n", "web_search_options",
)  # fmt: skip
"""Fields without a counterpart that change what is answered, unless they ask for the usual."""
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_TEXT_ONLY = b'["text"]'

_Object = dict[str, Any]


class _Format(msgspec.Struct):
    type: str = "text"


class _Kind(msgspec.Struct):
    type: str = "function"


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
        for tool in lenient(fields["tools"], list[_Kind] | None) or ():
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
    dropped = [
        name for name in sorted(call.fields.keys() - _TRANSLATED) if not _usual(call.fields, name)
    ]
    fields: _Object = {
        name: typed(raw, Any, name) for name, raw in call.fields.items() if name in _TRANSLATED
    }
    system, messages = _messages(fields["messages"])
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    body: _Object = {
        "model": model,
        "max_tokens": limit or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        body["system"] = "\n\n".join(system)
    body |= {name: fields[name] for name in _SAME if fields.get(name) is not None}
    if call.stream:
        body["stream"] = True
    dropped += _add_sampling(fields, body)
    _add_tools(fields, body)
    return msgspec.json.encode(body), dropped


def _add_sampling(fields: _Object, body: _Object) -> list[str]:
    """Add temperature, stop sequences, user and schema; return what was changed."""
    changed: list[str] = []
    temperature = fields.get("temperature")
    if isinstance(temperature, int | float):
        body["temperature"] = min(temperature, 1)
        changed += ["temperature"] if temperature > 1 else []
    stop = fields.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    user = fields.get("user") or fields.get("safety_identifier")
    if user:
        body["metadata"] = {"user_id": user}
    chosen = fields.get("response_format") or {}
    if chosen.get("type") == "json_schema":
        schema = (chosen.get("json_schema") or {}).get("schema")
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema or {}}}
    return changed


def _messages(messages: object) -> tuple[list[str], list[_Object]]:
    """Return the system prompts and the turns; neighbours of one role become one."""
    if not isinstance(messages, list):
        raise invalid("messages", "`messages` must be a list")
    system: list[str] = []
    turns: list[_Object] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(where, f"`{where}` must be an object")
        role = message.get("role")
        if role in {"system", "developer"}:
            system += [block["text"] for block in _blocks(message.get("content"), where)]
            continue
        blocks = _turn(message, where)
        role = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InexpressibleError("messages without a turn of the user")
    return system, turns


def _turn(message: _Object, where: str) -> list[_Object]:
    """Return what a message that is no system prompt says."""
    match message.get("role"):
        case "assistant":
            return _assistant(message, where)
        case "tool":
            return [_result(message, where)]
        case "user":
            return _blocks(message.get("content"), where)
        case role:
            raise InexpressibleError(f"{where}.role {role}")


def _blocks(content: object, where: str) -> list[_Object]:
    """Return content as blocks; empty text, which Anthropic refuses, is none."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise invalid(f"{where}.content", f"`{where}.content` must be text or a list of parts")
    return [block for part in content if (block := _block(part, where)) is not None]


def _block(part: _Object, where: str) -> _Object | None:
    kind = part.get("type")
    if kind in {"text", "refusal"}:
        text = part.get(kind)
        return {"type": "text", "text": text} if text else None
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url", "") if isinstance(image, dict) else image
        return {"type": "image", "source": _source(str(url))}
    if kind == "file":
        data = (part.get("file") or {}).get("file_data")
        if isinstance(data, str) and data.startswith("data:"):
            return {"type": "document", "source": _source(data)}
    raise InexpressibleError(f"{where} with a part of type {kind}")


def _source(url: str) -> _Object:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url.removeprefix("data:").partition(",")
    return {"type": "base64", "media_type": head.partition(";")[0], "data": data}


def _assistant(message: _Object, where: str) -> list[_Object]:
    blocks = _blocks(message.get("content"), where)
    if message.get("refusal"):
        blocks.append({"type": "text", "text": message["refusal"]})
    for index, call in enumerate(message.get("tool_calls") or ()):
        place = f"{where}.tool_calls[{index}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise InexpressibleError(f"{place} that is no function")
        try:
            arguments = msgspec.json.decode(function.get("arguments") or "{}", type=_Object)
        except (msgspec.DecodeError, RecursionError):
            raise invalid(f"{place}.function.arguments", "must be a JSON object") from None
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": arguments,
            }
        )
    return blocks


def _result(message: _Object, where: str) -> _Object:
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": _blocks(message.get("content"), where),
    }


def _add_tools(fields: _Object, body: _Object) -> None:
    tools = fields.get("tools")
    if not tools:
        return
    body["tools"] = [_tool(tool, index) for index, tool in enumerate(tools)]
    choice = fields.get("tool_choice")
    wanted: _Object = {}
    if isinstance(choice, dict):
        wanted = {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    elif choice is not None:
        if choice not in _CHOICES:
            raise invalid("tool_choice", "`tool_choice` is none of auto, required and none")
        wanted = {"type": _CHOICES[choice]}
    if fields.get("parallel_tool_calls") is False and wanted.get("type") != "none":
        wanted = {"type": "auto", **wanted, "disable_parallel_tool_use": True}
    if wanted:
        body["tool_choice"] = wanted


def _tool(tool: _Object, index: int) -> _Object:
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f"tools[{index}].function", f"`tools[{index}].function` must have a name")
    found: _Object = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    for name in ("description", "strict"):
        if function.get(name):
            found[name] = function[name]
    return found
