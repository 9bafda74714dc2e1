"""Answers of Anthropic's Messages API: read into pieces, and written of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.anthropic.answer import lenient_usage
from hybrid_router.anthropic.errors import error_event, message_body
from hybrid_router.openai.answer import error_message
from hybrid_router.openai.shapes import Usage
from hybrid_router.translate.pieces import (
    PING,
    Arguments,
    Begin,
    End,
    NotUnderstoodError,
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
    "end_turn": "stop",
    "pause_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tools",
    "refusal": "filter",
}
_STOPS: Mapping[Reason, str] = {
    "stop": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "refusal",
}


_NOT_SAID = {"cache_creation": None, "inference_geo": None, "service_tier": None}
"""Of the usage of a whole message: what other backends do not say."""


class _Block(msgspec.Struct):
    type: str = ""
    id: str = ""
    name: str = ""
    text: str = ""
    thinking: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(msgspec.Struct):
    id: str = ""
    type: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_event = msgspec.json.Decoder(_Event)
_message = msgspec.json.Decoder(_Message)


class MessagesReader:
    """Reads a message (a `pieces.Reader`)."""

    __slots__ = ("_filled", "_tools", "done", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.done = False
        self._tools: dict[int, int] = {}  # a block's index -> the tool's
        self._filled: set[int] = set()  # tools that have arguments

    def pieces(self, data: bytes) -> list[Piece]:
        """Return what an event's data says; an unknown event says nothing.

        Raises:
            NotUnderstoodError: it is an error, or none of Anthropic's events.
        """
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            text = "an event is not a JSON object of the Messages API"
            raise NotUnderstoodError(text) from None
        match event.type:
            case "error":
                raise NotUnderstoodError("the backend reported an error in the stream")
            case "message_start":
                message = event.message or _Message()
                self.usage = lenient_usage(message.usage, self.usage)
                prompt = self.usage.prompt if self.usage is not None else 0
                return [Begin(message.id, message.model, prompt)]
            case "content_block_start":
                return self._begin_block(event.index, event.content_block or _Block())
            case "content_block_delta":
                return self._delta(event.index, event.delta or _Delta())
            case "content_block_stop":
                return self._end_block(event.index)
            case "message_delta":
                self.usage = lenient_usage(event.usage, self.usage)
                delta = event.delta or _Delta()
                return [_end(delta)] if delta.stop_reason else []
            case "message_stop":
                self.done = True
        return [PING] if event.type == "ping" else []

    def whole(self, body: bytes) -> Whole:
        """Return a complete answer.

        Raises:
            NotUnderstoodError: it is none.
        """
        try:
            message = _message.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            text = "the answer is not a JSON object of the Messages API"
            raise NotUnderstoodError(text) from None
        if message.type != "message" or message.content is None:
            raise NotUnderstoodError("the answer is not a message")
        blocks = message.content
        return Whole(
            id=message.id,
            model=message.model,
            text="".join(b.text for b in blocks if b.type == "text"),
            reasoning="".join(b.thinking for b in blocks if b.type == "thinking"),
            refusal="",
            tools=tuple(
                ToolCall(b.id, b.name, bytes(b.input).decode())
                for b in blocks
                if b.type == "tool_use"
            ),
            end=_end(message),
            usage=lenient_usage(message.usage, None),
        )

    def message(self, body: bytes) -> str:
        """Return the text of an error; empty where it has none."""
        return error_message(body)

    def _begin_block(self, index: int, block: _Block) -> list[Piece]:
        if block.type == "tool_use":
            tool = self._tools[index] = len(self._tools)
            found: list[Piece] = [Tool(tool, block.id, block.name)]
            if bytes(block.input) not in {b"{}", b"null"}:
                self._filled.add(tool)
                found.append(Arguments(tool, bytes(block.input).decode()))
            return found
        if block.type == "thinking" and block.thinking:
            return [Text(block.thinking, "reasoning")]
        return [Text(block.text)] if block.text else []

    def _delta(self, index: int, delta: _Delta) -> list[Piece]:
        if delta.text:
            return [Text(delta.text)]
        if delta.thinking:
            return [Text(delta.thinking, "reasoning")]
        if delta.partial_json and index in self._tools:
            self._filled.add(self._tools[index])
            return [Arguments(self._tools[index], delta.partial_json)]
        return []

    def _end_block(self, index: int) -> list[Piece]:
        """A tool without arguments has said nothing so far; in OpenAI's form that is `{}`."""
        tool = self._tools.get(index)
        return [] if tool is None or tool in self._filled else [Arguments(tool, "{}")]


class MessagesWriter:
    """Writes a message (a `pieces.Writer`)."""

    __slots__ = ("_end", "_index", "_open")

    def __init__(self) -> None:
        self._index = -1
        self._open: str | int | None = None  # the kind of the block that is open, or its tool
        self._end = End("stop")

    def piece(self, piece: Piece) -> bytes:
        """Return the events for a piece; may be none.

        Raises:
            NotUnderstoodError: a tool that is closed gets more arguments.
        """
        match piece:
            case Begin():
                written = _start(piece)
            case Text():
                written = self._text(piece)
            case Tool(index, id_, name):
                written = self._block(index, _tool_block(id_, name, {}))
            case Arguments(index, text):
                if self._open != index:
                    raise NotUnderstoodError("the calls of tools are interleaved")
                written = self._delta({"type": "input_json_delta", "partial_json": text})
            case End():
                self._end = piece
                written = self._close()
            case _:
                written = _wire("ping", {})
        return written

    def end(self, usage: Usage | None) -> bytes:
        """Return the events that end a complete stream."""
        delta = {"delta": _stop(self._end), "usage": _usage(usage)}
        return self._close() + _wire("message_delta", delta) + _wire("message_stop", {})

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        return error_event(error)

    def whole(self, whole: Whole) -> bytes:
        """Return a whole answer.

        Raises:
            NotUnderstoodError: a tool's arguments are not JSON.
        """
        content: list[dict[str, Any]] = []
        if whole.reasoning:
            content.append({"type": "thinking", "thinking": whole.reasoning, "signature": ""})
        if whole.text or whole.refusal:
            content.append(_text_block(whole.text + whole.refusal))
        cut_off = whole.end.reason == "length"
        content += [
            _tool_block(tool.id, tool.name, _input(tool.arguments, cut_off=cut_off))
            for tool in whole.tools
        ]
        return msgspec.json.encode(
            {
                "id": whole.id,
                "type": "message",
                "role": "assistant",
                "model": whole.model,
                "content": content,
                **_stop(whole.end),
                "usage": _usage(whole.usage, **_NOT_SAID),
            }
        )

    def error(self, status: int, message: str) -> bytes:
        """Return the body of an error of the backend's."""
        return message_body(status, message)

    def _text(self, said: Text) -> bytes:
        if said.kind == "reasoning":
            opened = self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            return opened + self._delta({"type": "thinking_delta", "thinking": said.text})
        opened = self._block("text", _text_block(""))
        return opened + self._delta({"type": "text_delta", "text": said.text})

    def _block(self, kind: str | int, block: dict[str, Any]) -> bytes:
        """Return the events that open a block, if it is another than the one that is open."""
        if self._open == kind:
            return b""
        closed = self._close()
        self._index += 1
        self._open = kind
        begun = _wire("content_block_start", {"index": self._index, "content_block": block})
        return closed + begun

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _wire("content_block_stop", {"index": self._index})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _wire("content_block_delta", {"index": self._index, "delta": delta})


def _end(said: _Message | _Delta) -> End:
    return End(_ENDS.get(said.stop_reason or "end_turn", "stop"), said.stop_sequence)


def _start(begin: Begin) -> bytes:
    message: dict[str, Any] = {
        "id": begin.id,
        "type": "message",
        "role": "assistant",
        "model": begin.model,
        "content": [],
        **_stop(None),
        "usage": _usage(Usage(begin.prompt_tokens, 0), **_NOT_SAID),
    }
    return _wire("message_start", {"message": message})


def _wire(name: str, fields: dict[str, Any]) -> bytes:
    data = msgspec.json.encode({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _stop(end: End | None) -> dict[str, Any]:
    return {
        "stop_reason": _STOPS[end.reason] if end is not None else None,
        "stop_sequence": end.sequence if end is not None else None,
        "stop_details": None,
        "container": None,
    }


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _tool_block(id_: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    caller = {"type": "direct"}
    return {"type": "tool_use", "id": id_, "name": name, "input": given, "caller": caller}


def _usage(usage: Usage | None, **more: None) -> dict[str, int | None]:
    counted = usage or Usage(0, 0)
    return {
        **more,
        "output_tokens_details": None,
        "server_tool_use": None,
        "input_tokens": max(0, counted.prompt - counted.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": counted.cached,
        "output_tokens": counted.completion,
    }


def _input(arguments: str, *, cut_off: bool) -> dict[str, Any]:
    """Return a tool's arguments as an object; of those that were cut off nothing."""
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        if cut_off:
            return {}
        raise NotUnderstoodError("a tool's arguments are not a JSON object") from None
