"""Answers of OpenAI's chat completions: read into pieces, and written of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.answer import error_message, lenient_usage
from hybrid_router.openai.errors import error_body, error_event
from hybrid_router.openai.shapes import Usage
from hybrid_router.openai.sse import DONE
from hybrid_router.translate.pieces import (
    Arguments,
    Begin,
    End,
    NotUnderstoodError,
    Ping,
    Text,
    Tool,
    ToolCall,
    Whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.errors import ApiError
    from hybrid_router.translate.pieces import Piece, Reason

_ENDS: Mapping[str, Reason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filter",
}
_FINISHES: Mapping[Reason, str] = {
    "stop": "stop",
    "sequence": "stop",
    "length": "length",
    "tools": "tool_calls",
    "filter": "content_filter",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    """A message, or a stream's part of one."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """vLLM's: the stop sequence."""


class _Chat(msgspec.Struct):
    id: str = ""
    model: str = ""
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    object: Any = None


_chat = msgspec.json.Decoder(_Chat)


class ChatReader:
    """Reads a chat completion (a `pieces.Reader`)."""

    __slots__ = ("_begun", "_tools", "done", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.done = False
        self._begun = False
        self._tools: set[int] = set()

    def pieces(self, data: bytes) -> list[Piece]:
        """Return what an event's data says.

        Raises:
            NotUnderstoodError: it is an error, or none of OpenAI's events.
        """
        if data == DONE:
            self.done = True
            return []
        chunk = _decoded(data)
        if chunk.error or chunk.object == "error":
            raise NotUnderstoodError("the backend reported an error in the stream")
        self.usage = lenient_usage(chunk.usage) or self.usage
        found: list[Piece] = []
        if not self._begun:
            self._begun = True
            prompt = self.usage.prompt if self.usage is not None else 0
            found.append(Begin(chunk.id, chunk.model, prompt))
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._read(choice.delta, chunk.id, found)
            if choice.finish_reason:
                found.append(_end(choice))
        return found

    def whole(self, body: bytes) -> Whole:
        """Return a complete answer.

        Raises:
            NotUnderstoodError: it is none.
        """
        chat = _decoded(body)
        if not chat.choices or chat.choices[0].message is None:
            raise NotUnderstoodError("the answer is not a chat completion")
        choice = chat.choices[0]
        said = choice.message or _Said()
        calls = enumerate(said.tool_calls or ())
        return Whole(
            id=chat.id,
            model=chat.model,
            text=said.content or "",
            reasoning=said.reasoning or said.reasoning_content or "",
            refusal=said.refusal or "",
            tools=tuple(_tool(call, chat.id, index) for index, call in calls),
            end=_end(choice),
            usage=lenient_usage(chat.usage),
        )

    def message(self, body: bytes) -> str:
        """Return the text of an error; empty where it has none."""
        return error_message(body)

    def _read(self, delta: _Said, chat_id: str, found: list[Piece]) -> None:
        reasoning = delta.reasoning or delta.reasoning_content
        if reasoning:
            found.append(Text(reasoning, "reasoning"))
        if delta.content:
            found.append(Text(delta.content))
        if delta.refusal:
            found.append(Text(delta.refusal, "refusal"))
        for call in delta.tool_calls or ():
            if call.index not in self._tools:
                self._tools.add(call.index)
                begun = _tool(call, chat_id, call.index)
                found.append(Tool(call.index, begun.id, begun.name))
            if call.function is not None and call.function.arguments:
                found.append(Arguments(call.index, call.function.arguments))


class ChatWriter:
    """Writes a chat completion (a `pieces.Writer`).

    Args:
        shows_usage: the client asked for a stream's usage.
    """

    __slots__ = ("_created", "_id", "_model", "_shows_usage")

    def __init__(self, *, shows_usage: bool = False) -> None:
        self._shows_usage = shows_usage
        self._created = int(time.time())
        self._id = ""
        self._model = ""

    def piece(self, piece: Piece) -> bytes:
        """Return the chunk for a piece."""
        if isinstance(piece, Begin):
            self._id, self._model = piece.id, piece.model
        elif isinstance(piece, Ping):
            return b": ping\n\n"
        elif isinstance(piece, End):
            return self._chunk({}, _FINISHES[piece.reason])
        return self._chunk(_delta(piece))

    def end(self, usage: Usage | None) -> bytes:
        """Return the usage, if it was asked for, and the terminator."""
        last = b"data: " + DONE + b"\n\n"
        if not self._shows_usage or usage is None:
            return last
        return self._event([], usage=_usage(usage)) + last

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        return error_event(error)

    def whole(self, whole: Whole) -> bytes:
        """Return a whole answer."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": whole.text or None,
            "refusal": whole.refusal or None,
            "annotations": [],
        }
        if whole.reasoning:
            message["reasoning"] = whole.reasoning
        if whole.tools:
            message["tool_calls"] = [
                {
                    "id": tool.id,
                    "type": "function",
                    "function": {"name": tool.name, "arguments": tool.arguments},
                }
                for tool in whole.tools
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _FINISHES[whole.end.reason],
        }
        return msgspec.json.encode(
            {
                "id": whole.id,
                "object": "chat.completion",
                "created": self._created,
                "model": whole.model,
                "choices": [choice],
                "usage": _usage(whole.usage or Usage(0, 0)),
            }
        )

    def error(self, status: int, message: str) -> bytes:
        """Return the body of an error of the backend's."""
        return error_body(status, message)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._event([{"index": 0, "delta": delta, "finish_reason": finish}])

    def _event(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
            **more,
        }
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _decoded(data: bytes) -> _Chat:
    try:
        return _chat.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotUnderstoodError("the answer is not a JSON object of the OpenAI API") from None


def _end(choice: _Choice) -> End:
    reason = _ENDS.get(choice.finish_reason or "stop", "stop")
    if reason == "stop" and isinstance(choice.stop_reason, str):
        return End("sequence", choice.stop_reason)
    return End(reason)


def _tool(call: _Call, chat_id: str, index: int) -> ToolCall:
    function = call.function or _Function()
    name, arguments = function.name or "", function.arguments or ""
    return ToolCall(call.id or f"call_{chat_id}_{index}", name, arguments)


def _delta(piece: Piece) -> dict[str, Any]:
    match piece:
        case Text(text, "reasoning"):
            return {"reasoning": text}
        case Text(text, "refusal"):
            return {"refusal": text}
        case Text(text):
            return {"content": text}
        case Tool(index, id_, name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": id_, "type": "function", "function": function}
            return {"tool_calls": [call]}
        case Arguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        case _:
            return {"role": "assistant", "content": ""}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
