"""A request of Anthropic's Messages API as a chat completion of OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.body import invalid, typed
from hybrid_router.openai.request import parse
from hybrid_router.translate.pieces import InexpressibleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hybrid_router.anthropic.request import MessagesCall
    from hybrid_router.openai.request import Call
    from hybrid_router.table import Backend

_SAME = ("max_tokens", "stream", "temperature", "top_k", "top_p")
_TRANSLATED = frozenset(
    {
        *_SAME, "messages", "metadata", "model", "output_config", "stop_sequences", "system",
        "thinking", "tool_choice", "tools",
    }
)  # fmt: skip
_EXCLUDING = ("container", "mcp_servers")
"""Fields that only Anthropic can act on, and that change what is answered."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2_048, "low"), (8_192, "medium"))
"""A budget of thinking tokens below which an effort is meant; above: high."""

_Object = dict[str, Any]


def to_chat(call: MessagesCall, backend: Backend) -> tuple[Call, list[str]]:
    """Return the chat that asks a backend for the same, and what had to be left out.

    Raises:
        ApiError: 400, the request is malformed.
        InexpressibleError: a chat cannot say it.
    """
    fields: _Object = {
        name: typed(raw, Any, name)
        for name, raw in call.fields.items()
        if name in _TRANSLATED or name in _EXCLUDING
    }
    for name in _EXCLUDING:
        if fields.get(name):
            raise InexpressibleError(name)
    dropped = sorted(call.fields.keys() - _TRANSLATED)
    chat: _Object = {name: fields[name] for name in _SAME if fields.get(name) is not None}
    chat["model"] = call.model
    chat["messages"] = [*_system(fields.get("system")), *_messages(fields["messages"], backend)]
    if fields.get("stop_sequences"):
        chat["stop"] = fields["stop_sequences"]
    user = (fields.get("metadata") or {}).get("user_id")
    if user:
        chat["user"] = user
    _add_tools(fields, chat)
    dropped += _add_thinking(fields, chat, backend)
    body = msgspec.json.encode({name: value for name, value in chat.items() if value is not None})
    return parse("chat", body), dropped


def _system(system: object) -> list[_Object]:
    if not system:
        return []
    text = system if isinstance(system, str) else "\n\n".join(_texts(system, "system"))
    return [{"role": "system", "content": text}]


def _texts(blocks: object, where: str) -> Iterable[str]:
    for block in _blocks(blocks, where):
        if block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise InexpressibleError(f"{where} with a block of type {block.get('type')}")
        yield block["text"]


def _blocks(content: object, where: str) -> list[_Object]:
    """Return content as a list of blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(b, dict) for b in content):
        raise invalid(where, f"`{where}` must be text or a list of blocks")
    return content


def _messages(messages: Any, backend: Backend) -> list[_Object]:  # noqa: ANN401  of a client
    if not isinstance(messages, list):
        raise invalid("messages", "`messages` must be a list")
    found: list[_Object] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        blocks = _blocks(message.get("content"), f"{where}.content") if role else []
        if role == "user":
            found += _user(blocks, where)
        elif role == "assistant":
            found.append(_assistant(blocks, where, backend))
        elif role == "system":
            found += _system(blocks)
        else:
            raise invalid(f"{where}.role", f"`{where}.role` must be user or assistant")
    return found


def _user(blocks: list[_Object], where: str) -> list[_Object]:
    """Return a user's turn: what tools answered first, as OpenAI's form wants it."""
    tools: list[_Object] = []
    parts: list[_Object] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            parts.append(_part(block, where))
            continue
        texts: list[str] = []
        for inner in _blocks(block.get("content") or "", f"{where}.content"):
            part = _part(inner, where)
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                parts.append(part)  # a tool's message holds text only
        tools.append(
            {
                "role": "tool",
                "tool_call_id": block.get("tool_use_id"),
                "content": "\n".join(texts),
            }
        )
    if not parts:
        return tools
    only_text = all(part["type"] == "text" for part in parts)
    content = "\n".join(part["text"] for part in parts) if only_text else parts
    return [*tools, {"role": "user", "content": content}]


def _part(block: _Object, where: str) -> _Object:
    kind = block.get("type")
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind == "image" and source.get("type") in {"base64", "url"}:
        return {"type": "image_url", "image_url": {"url": _url(source)}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": str(source.get("data", ""))}
    if kind == "document" and source.get("type") == "base64":
        name = block.get("title") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": _url(source)}}
    raise InexpressibleError(f"{where} with a block of type {kind}")


def _url(source: Mapping[str, Any]) -> str:
    if source["type"] == "url":
        return str(source.get("url", ""))
    return f"data:{source.get('media_type')};base64,{source.get('data', '')}"


def _assistant(blocks: list[_Object], where: str, backend: Backend) -> _Object:
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[_Object] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "thinking":
            reasoning.append(str(block.get("thinking", "")))
        elif kind == "tool_use":
            arguments = msgspec.json.encode(block.get("input") or {}).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif kind != "redacted_thinking":
            raise InexpressibleError(f"{where} with a block of type {kind}")
    message: _Object = {"role": "assistant", "content": "".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    if reasoning and backend.engine == "vllm":
        message["reasoning"] = "".join(reasoning)
    return message


def _add_tools(fields: _Object, chat: _Object) -> None:
    tools = fields.get("tools")
    if not tools:
        return
    chat["tools"] = [_tool(tool, index) for index, tool in enumerate(tools)]
    choice = fields.get("tool_choice") or {}
    kind = choice.get("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind is not None:
        if kind not in _CHOICES:
            raise invalid("tool_choice.type", "`tool_choice.type` is unknown")
        chat["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _tool(tool: object, index: int) -> _Object:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise invalid(f"tools[{index}]", f"`tools[{index}]` must have a name")
    if tool.get("type", "custom") not in {"custom", None}:
        raise InexpressibleError(f"tools[{index}] of type {tool['type']}")
    function: _Object = {"name": tool["name"], "parameters": tool.get("input_schema") or {}}
    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _add_thinking(fields: _Object, chat: _Object, backend: Backend) -> list[str]:
    """Ask for a schema and for an effort; return what the backend would not understand."""
    config = fields.get("output_config") or {}
    schema = (config.get("format") or {}).get("schema")
    if schema is not None:
        described = {"name": "answer", "schema": schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": described}
    thinking = fields.get("thinking") or {}
    effort = config.get("effort") or _effort(thinking)
    if effort is None:
        return []
    if backend.engine == "vllm":
        chat["reasoning_effort"] = effort
        return []
    return ["thinking" if thinking else "output_config.effort"]


def _effort(thinking: Mapping[str, Any]) -> str | None:
    """Return the effort that a configuration of thinking means to vLLM."""
    if thinking.get("type") == "disabled":
        return "none"
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return None
    return next((effort for most, effort in _EFFORTS if budget < most), "high")
