"""A request of Anthropic's Messages API as a chat completion of OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.body import invalid, lenient, shaped
from hybrid_router.openai.request import parse
from hybrid_router.translate.pieces import InexpressibleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_router.anthropic.request import MessagesCall
    from hybrid_router.openai.request import Call
    from hybrid_router.table import Backend

_EXCLUDING = ("container", "mcp_servers")
"""Fields that only Anthropic can act on, and that change what is answered."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2_048, "low"), (8_192, "medium"))
"""A budget of thinking tokens below which an effort is meant; above: high."""
_NULL = msgspec.Raw(b"null")

_Object = dict[str, Any]


class _Source(msgspec.Struct):
    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""

    def address(self) -> str:
        """Return it as the URL that OpenAI's form wants."""
        return self.url if self.type == "url" else f"data:{self.media_type};base64,{self.data}"


class _Block(msgspec.Struct):
    """A block of any type; each has some of these."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    title: str | None = None
    id: str | None = None
    name: str | None = None
    tool_use_id: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    source: msgspec.Raw = _NULL
    content: msgspec.Raw = _NULL


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Tool(msgspec.Struct):
    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    schema: msgspec.Raw = _NULL


class _Config(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int
    metadata: _Metadata | None = None
    output_config: _Config | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    system: str | list[_Block] | None = None
    temperature: float | None = None
    thinking: _Thinking | None = None
    tool_choice: _Choice | None = None
    tools: list[_Tool] | None = None
    top_k: int | None = None
    top_p: float | None = None


_KNOWN = frozenset(_Request.__struct_fields__)


def to_chat(call: MessagesCall, backend: Backend) -> tuple[Call, list[str]]:
    """Return the chat that asks a backend for the same, and what had to be left out.

    Raises:
        ApiError: 400, the request is malformed.
        InexpressibleError: a chat cannot say it.
    """
    for name in _EXCLUDING:
        if bytes(call.fields.get(name, b"null")) not in {b"null", b"[]", b"{}"}:
            raise InexpressibleError(name)
    request = shaped(call.body, _Request)
    chat: _Object = {
        "model": request.model,
        "messages": [*_system(request), *_messages(request.messages, backend)],
        "max_tokens": request.max_tokens,
        "stream": request.stream,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": request.stop_sequences or None,
        "user": request.metadata.user_id if request.metadata is not None else None,
        **_tools(request),
        **_format(request),
    }
    dropped = sorted(call.fields.keys() - _KNOWN)
    name, effort = _effort(request)
    if effort is not None and backend.engine == "vllm":
        chat["reasoning_effort"] = effort
    elif effort is not None:
        dropped.append(name)
    said = {name: value for name, value in chat.items() if value is not None}
    return parse("chat", msgspec.json.encode(said)), dropped


def _system(request: _Request) -> list[_Object]:
    if not request.system:
        return []
    if isinstance(request.system, str):
        return [{"role": "system", "content": request.system}]
    texts = [_part(block, "system") for block in request.system]
    return [{"role": "system", "content": "\n\n".join(part["text"] for part in texts)}]


def _messages(messages: list[_Message], backend: Backend) -> Iterator[_Object]:
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        said = message.content
        blocks = [_Block("text", text=said)] if isinstance(said, str) else said
        if message.role == "user":
            yield from _user(blocks, where)
        elif message.role == "assistant":
            yield _assistant(blocks, where, backend)
        elif message.role == "system":
            texts = [_part(block, where) for block in blocks]
            yield {"role": "system", "content": "\n\n".join(part["text"] for part in texts)}
        else:
            raise invalid(f"{where}.role", f"`{where}.role` must be user or assistant")


def _user(blocks: list[_Block], where: str) -> list[_Object]:
    """Return a user's turn: what tools answered first, as OpenAI's form wants it."""
    tools: list[_Object] = []
    parts: list[_Object] = []
    for block in blocks:
        if block.type != "tool_result":
            parts.append(_part(block, where))
            continue
        found = [_part(inner, where) for inner in _result(block, where)]
        texts = [part["text"] for part in found if part["type"] == "text"]
        parts += [part for part in found if part["type"] != "text"]  # a tool's message is text
        said = {"tool_call_id": block.tool_use_id, "content": "\n".join(texts)}
        tools.append({"role": "tool", **said})
    if not parts:
        return tools
    only_text = all(part["type"] == "text" for part in parts)
    content = "\n".join(part["text"] for part in parts) if only_text else parts
    return [*tools, {"role": "user", "content": content}]


def _result(block: _Block, where: str) -> list[_Block]:
    found = lenient(block.content, str | list[_Block] | None)
    if found is None and bytes(block.content) != b"null":
        raise invalid(f"{where}.content", "a tool_result's content must be text or blocks")
    return [_Block("text", text=found)] if isinstance(found, str) else found or []


def _part(block: _Block, where: str) -> _Object:
    if block.type == "text" and block.text is not None:
        return {"type": "text", "text": block.text}
    source = lenient(block.source, _Source | None) or _Source()
    if where != "system" and source.type in {"base64", "url"} and block.type == "image":
        return {"type": "image_url", "image_url": {"url": source.address()}}
    if block.type == "document" and source.type == "text":
        return {"type": "text", "text": source.data}
    if where != "system" and block.type == "document" and source.type == "base64":
        name = block.title or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": source.address()}}
    raise InexpressibleError(f"{where} with a block of type {block.type}")


def _assistant(blocks: list[_Block], where: str, backend: Backend) -> _Object:
    calls: list[_Object] = []
    for block in blocks:
        if block.type == "tool_use":
            function = {"name": block.name, "arguments": bytes(block.input).decode()}
            calls.append({"id": block.id, "type": "function", "function": function})
        elif block.type not in {"text", "thinking", "redacted_thinking"}:
            raise InexpressibleError(f"{where} with a block of type {block.type}")
    text = "".join(block.text or "" for block in blocks if block.type == "text")
    message: _Object = {"role": "assistant", "content": text}
    if calls:
        message |= {"content": text or None, "tool_calls": calls}
    reasoning = "".join(block.thinking or "" for block in blocks)
    if reasoning and backend.engine == "vllm":
        message["reasoning"] = reasoning
    return message


def _tools(request: _Request) -> _Object:
    if not request.tools:
        return {}
    found: _Object = {"tools": [_tool(tool, i) for i, tool in enumerate(request.tools)]}
    choice = request.tool_choice
    if choice is None:
        return found
    if choice.type == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.type in _CHOICES:
        found["tool_choice"] = _CHOICES[choice.type]
    else:
        raise invalid("tool_choice.type", "`tool_choice.type` is none of auto, any, tool and none")
    if choice.disable_parallel_tool_use:
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: _Tool, index: int) -> _Object:
    if tool.type not in {"custom", None}:
        raise InexpressibleError(f"tools[{index}] of type {tool.type}")
    function: _Object = {"name": tool.name, "parameters": tool.input_schema or {}}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _format(request: _Request) -> _Object:
    config = request.output_config or _Config()
    if config.format is None or bytes(config.format.schema) == b"null":
        return {}
    described = {"name": "answer", "schema": config.format.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def _effort(request: _Request) -> tuple[str, str | None]:
    """Return the field that asks for an effort, and what it means to vLLM."""
    if request.output_config is not None and request.output_config.effort is not None:
        return "output_config.effort", request.output_config.effort
    thinking = request.thinking
    if thinking is None:
        return "thinking", None
    if thinking.type == "disabled":
        return "thinking", "none"
    budget = thinking.budget_tokens
    if budget is None:
        return "thinking", None
    return "thinking", next((effort for most, effort in _EFFORTS if budget < most), "high")
