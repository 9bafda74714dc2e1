"""A scripted vLLM: streams with token ids as vLLM does, continues from ids, breaks when told.

Its model says the same tokens every time. A token is a few bytes of UTF-8, and may end in the
middle of a character: such a token has an id and no text yet, as in vLLM.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.upstreams import SSE_HEAD, Behaviour, Talk, response

PROMPT = (1, 17, 4)
"""Ids of any prompt."""
FIRST_ID = 100


def pieces(text: str, *sizes: int) -> tuple[bytes, ...]:
    """Cut a text into tokens of these sizes in bytes; the last size repeats."""
    data, at = text.encode(), 0
    found: list[bytes] = []
    while at < len(data):
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(data[at : at + size])
        at += size
    return tuple(found)


def spoken(tokens: tuple[bytes, ...], start: int) -> Iterator[tuple[str, int]]:
    """Yield each token's text and index from `start` on; text comes with a whole character.

    After a start in the middle of a character, all that stood before comes again: as in vLLM.
    """
    waiting = b"" if _whole(b"".join(tokens[:start])) else b"".join(tokens[:start])
    for index in range(start, len(tokens)):
        waiting += tokens[index]
        whole = _whole(waiting)
        yield waiting.decode() if whole else "", index
        waiting = b"" if whole else waiting


def _whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class Model:
    """What an engine says.

    Attributes:
        tokens: bytes of each.
        ids: whether it knows `return_token_ids`.
        finish: the finish reason after the last token.
        together: tokens per chunk, as of a busy engine.
    """

    tokens: tuple[bytes, ...]
    ids: bool = True
    finish: str = "length"
    together: int = 1
    role: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": ""})

    @property
    def text(self) -> str:
        """All of it."""
        return b"".join(self.tokens).decode()

    def stream(self, path: str, body: dict[str, Any]) -> list[bytes]:
        """Return the events that answer a streaming request, `[DONE]` included."""
        ids = self.ids and bool(body.get("return_token_ids"))
        chat = path.endswith("/chat/completions")
        prompt = list(PROMPT) if chat else body["prompt"]
        start = len(prompt) - len(PROMPT)
        assert prompt == [*PROMPT, *range(FIRST_ID, FIRST_ID + start)], "not the ids it gave"
        limit = body.get("max_tokens") or len(self.tokens)
        end = min(start + limit, len(self.tokens))
        events = [self._role(ids=ids)] if chat else []
        said = [s for s in spoken(self.tokens, start) if s[1] < end]
        for at in range(0, len(said), self.together):
            group = said[at : at + self.together]
            text, last = "".join(s[0] for s in group), group[-1][1] == end - 1
            choice: dict[str, Any] = {"index": 0}
            choice |= {"delta": {"content": text}} if chat else {"text": text}
            choice |= {"logprobs": None, "finish_reason": self.finish if last else None}
            if not chat or last:
                choice["stop_reason"] = None
            if not chat:
                choice["prompt_token_ids"] = prompt if ids and at == 0 else None
            choice["token_ids"] = [FIRST_ID + index for _, index in group] if ids else None
            events.append(self._chunk(chat=chat, choices=[choice]))
        if (body.get("stream_options") or {}).get("include_usage"):
            counts = {"prompt_tokens": len(prompt), "completion_tokens": end - start}
            usage = {**counts, "total_tokens": sum(counts.values())}
            events.append(self._chunk(chat=chat, choices=[], usage=usage))
        return [*events, b"data: [DONE]\n\n"]

    def _role(self, *, ids: bool) -> bytes:
        choice = {"index": 0, "delta": self.role, "logprobs": None, "finish_reason": None}
        return self._chunk(
            chat=True, choices=[choice], prompt_token_ids=list(PROMPT) if ids else None
        )

    def _chunk(self, *, chat: bool, **fields: Any) -> bytes:
        kind = "chat.completion.chunk" if chat else "text_completion"
        head: dict[str, Any] = {"id": "chatcmpl-1" if chat else "cmpl-2", "object": kind}
        head |= {"created": 7 if chat else 8, "model": "up"}
        chunk = json.dumps(head | fields, separators=(",", ":"), ensure_ascii=False)
        return b"data: " + chunk.encode() + b"\n\n"


async def _reset(talk: Talk) -> None:
    talk.reset()


async def _close(talk: Talk) -> None:
    talk.close()


async def _end(talk: Talk) -> None:
    await talk.last_chunk()


async def _stall(talk: Talk) -> None:
    await talk.until_left()


async def _error(talk: Talk) -> None:
    await talk.event({"error": {"message": "EngineDeadError", "type": "InternalServerError"}})
    await talk.event(b"[DONE]")
    await talk.last_chunk()


async def _abort(talk: Talk) -> None:
    delta = {"index": 0, "delta": {"content": ""}, "finish_reason": "abort", "token_ids": []}
    await talk.event({"id": "chatcmpl-1", "model": "up", "choices": [delta]})
    await talk.event(b"[DONE]")
    await talk.last_chunk()


BREAKS: dict[str, Behaviour] = {
    "reset": _reset,
    "close": _close,
    "end": _end,
    "stall": _stall,
    "error": _error,
    "abort": _abort,
}
"""How a stream may break."""


def engine(
    model: Model, cut: int | None = None, how: str = "reset", *, singly: bool = False
) -> Behaviour:
    """Answer streams; break each off after `cut` bytes of its body, or never.

    Args:
        model: what it says.
        cut: bytes; None for never.
        how: of `BREAKS`.
        singly: write each event by itself, as a chunk of its own, and not all at once.
    """

    async def behave(talk: Talk) -> None:
        body = talk.request.json()
        if talk.request.path == "/detokenize":
            data = b"".join(model.tokens[i - FIRST_ID] for i in body["tokens"])
            text = json.dumps({"prompt": data.decode(errors="replace")})
            await talk.send(response(200, text.encode()))
            return
        data = b"".join(model.stream(talk.request.path, body))
        await talk.send(SSE_HEAD)
        said = data[:cut]
        for part in _apart(said) if singly else [said]:
            if part:
                await talk.chunk(part)
                await asyncio.sleep(0)
        if len(said) < len(data):
            await BREAKS[how](talk)
        else:
            await talk.last_chunk()

    return behave


def _apart(data: bytes) -> list[bytes]:
    """Return the events in `data`, and the beginning of one behind them."""
    *events, rest = data.split(b"\n\n")
    return [*(event + b"\n\n" for event in events), rest]


def whole_events(model: Model, **body: Any) -> list[int]:
    """Return the places in a chat stream's bytes at which an event ends."""
    places, at = [], 0
    for event in model.stream("/v1/chat/completions", {"return_token_ids": True, **body}):
        at += len(event)
        places.append(at)
    return places
