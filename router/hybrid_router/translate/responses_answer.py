"""Answers written in the form of OpenAI's Responses API.

Source of the events and their order: OpenAI's API reference, "Streaming events".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.openai.errors import error_body
from hybrid_router.openai.shapes import Usage
from hybrid_router.responses.sse import failed_event
from hybrid_router.translate.pieces import Arguments, Begin, End, Ping, Text, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.errors import ApiError
    from hybrid_router.translate.pieces import Piece, Reason, Whole

_INCOMPLETE: Mapping[Reason, str] = {"length": "max_output_tokens", "filter": "content_filter"}
_FIELDS = {"text": "text", "refusal": "refusal", "reasoning": "text"}
_PARTS = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_text"}

_Object = dict[str, Any]
_LOGPROBS: _Object = {"logprobs": []}
"""Stands beside every text, though none were asked for."""


class ResponsesWriter:
    """Writes a response (a `pieces.Writer`).

    Args:
        echo: what the response says of its request.
    """

    __slots__ = (
        "_created",
        "_echo",
        "_end",
        "_id",
        "_kind",
        "_model",
        "_number",
        "_output",
        "_said",
    )

    def __init__(self, echo: _Object | None = None) -> None:
        self._echo = echo or {}
        self._created = int(time.time())
        self._id = ""
        self._model = ""
        self._number = 0
        self._output: list[_Object] = []
        self._kind: str | int | None = None  # of the item that is open: text's kind, or a tool
        self._said: list[str] = []  # what the open item says so far
        self._end = End("stop")

    def piece(self, piece: Piece) -> bytes:
        """Return the events for a piece; may be none."""
        match piece:
            case Begin(id_, model):
                self._id, self._model = f"resp_{id_}", model
                begun = {"response": self._response("in_progress")}
                return self._event("response.created", begun) + self._event(
                    "response.in_progress", begun
                )
            case Text():
                return self._text(piece)
            case Tool(index, id_, name):
                return self._open_tool(index, id_, name)
            case Arguments(_, text):
                self._said.append(text)
                fields = {**self._place(), "delta": text}
                return self._event("response.function_call_arguments.delta", fields)
            case End():
                self._end = piece
                return self._close()
            case Ping():
                return b": ping\n\n"

    def end(self, usage: Usage | None) -> bytes:
        """Return the events that end a complete stream."""
        closed = self._close()
        status = "incomplete" if self._end.reason in _INCOMPLETE else "completed"
        whole = {"response": self._response(status, usage)}
        return closed + self._event(f"response.{status}", whole)

    def broken(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        begun = msgspec.json.encode(self._response("failed"))
        return failed_event(begun, error, self._number)

    def whole(self, whole: Whole) -> bytes:
        """Return a whole answer."""
        self.piece(Begin(whole.id, whole.model))
        said = (
            Text(whole.reasoning, "reasoning"),
            Text(whole.text),
            Text(whole.refusal, "refusal"),
        )
        for text in said:
            if text.text:
                self.piece(text)
        for index, tool in enumerate(whole.tools):
            self.piece(Tool(index, tool.id, tool.name))
            self.piece(Arguments(index, tool.arguments))
        self.piece(whole.end)
        status = "incomplete" if whole.end.reason in _INCOMPLETE else "completed"
        return msgspec.json.encode(self._response(status, whole.usage))

    def error(self, status: int, message: str) -> bytes:
        """Return the body of an error of the backend's."""
        return error_body(status, message)

    def _text(self, said: Text) -> bytes:
        opened = b"" if self._kind == said.kind else self._open_text(said.kind)
        self._said.append(said.text)
        name = f"response.{_PARTS[said.kind]}.delta"
        more = _LOGPROBS if said.kind == "text" else {}
        return opened + self._event(name, {**self._inside(), "delta": said.text, **more})

    def _open_text(self, kind: str) -> bytes:
        if kind == "reasoning":
            opened = self._open(kind, {"id": self._item_id("rs"), "type": kind, "summary": []})
        else:
            item = {"id": self._item_id("msg"), "type": "message", "role": "assistant"}
            opened = self._open(kind, item)
        part = self._part(kind, "")
        return opened + self._event("response.content_part.added", {**self._inside(), "part": part})

    def _open_tool(self, index: int, id_: str, name: str) -> bytes:
        item = {"id": self._item_id("fc"), "type": "function_call", "call_id": id_, "name": name}
        return self._open(index, item)

    def _open(self, kind: str | int, item: _Object) -> bytes:
        closed = self._close()
        filling: _Object = {"arguments": ""} if isinstance(kind, int) else {"content": []}
        self._kind = kind
        self._said = []
        self._output.append({**item, **filling, "status": "in_progress"})
        added = {"output_index": len(self._output) - 1, "item": self._output[-1]}
        return closed + self._event("response.output_item.added", added)

    def _close(self) -> bytes:
        """Return the events that end the open item, which now says what it said."""
        kind = self._kind
        if kind is None:
            return b""
        self._kind = None
        item, text = self._output[-1], "".join(self._said)
        item["status"] = "completed"
        if isinstance(kind, int):
            item["arguments"] = text
            name, fields = "function_call_arguments", {**self._place(), "arguments": text}
            ended = self._event(f"response.{name}.done", {**fields, "name": item["name"]})
        else:
            part = self._part(kind, text)
            item["content"] = [part]
            more = _LOGPROBS if kind == "text" else {}
            done = {**self._inside(), _FIELDS[kind]: text, **more}
            ended = self._event(f"response.{_PARTS[kind]}.done", done)
            ended += self._event("response.content_part.done", {**self._inside(), "part": part})
        whole = {"output_index": len(self._output) - 1, "item": item}
        return ended + self._event("response.output_item.done", whole)

    def _part(self, kind: str, text: str) -> _Object:
        part: _Object = {"type": _PARTS[kind], _FIELDS[kind]: text}
        return {**part, "annotations": [], "logprobs": []} if kind == "text" else part

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._id.removeprefix('resp_')}_{len(self._output)}"

    def _place(self) -> _Object:
        return {"item_id": self._output[-1]["id"], "output_index": len(self._output) - 1}

    def _inside(self) -> _Object:
        return {**self._place(), "content_index": 0}

    def _response(self, status: str, usage: Usage | None = None) -> _Object:
        ended = status in {"completed", "incomplete"}
        why = _INCOMPLETE.get(self._end.reason) if status == "incomplete" else None
        return {
            **self._echo,
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": why} if why else None,
            "model": self._model,
            "output": self._output,
            "usage": _usage(usage or Usage(0, 0)) if ended else None,
        }

    def _event(self, name: str, fields: _Object) -> bytes:
        data = msgspec.json.encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _usage(usage: Usage) -> _Object:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }
