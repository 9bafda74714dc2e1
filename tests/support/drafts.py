"""A scripted engine that gives log-probabilities when it is asked for them, as vLLM does."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import Any

from tests.support.routers import Reply, Router, backend, router, table
from tests.support.upstreams import (
    ROLE,
    SSE_HEAD,
    USAGE,
    Behaviour,
    Received,
    Talk,
    Upstream,
    answers,
    completion,
    delta,
    event,
    finish,
    response,
    usage_chunk,
)

SURE, UNSURE = 0.99, 0.5
"""Probabilities of a token; what is left of it goes nearly all to the next likely one."""


def position(token: str, probability: float) -> dict[str, Any]:
    """Return one entry of a chat's `logprobs.content`."""
    second = max(1.0 - probability - 0.001, 1e-9)
    tops = [(token, probability), ("other", second), ("third", 0.001)]
    top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in tops]
    return {**top[0], "top_logprobs": top}


@dataclass(frozen=True)
class Drafter:
    """What it says, and how sure it is of each token.

    Attributes:
        tokens: of the answer.
        probability: of every token.
        gives: whether log-probabilities are given at all.
        delay: seconds before each token.
    """

    tokens: tuple[str, ...] = ("The ", "ans", "wer ", "is ", "42.")
    probability: float = SURE
    gives: bool = True
    delay: float = 0.0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.tokens)

    async def __call__(self, talk: Talk) -> None:
        """Answer as asked: streamed or not, a chat or a completion."""
        body = talk.request.json()
        asked = body.get("logprobs") if self.gives else None
        if talk.request.path.endswith("/v1/completions"):
            await self._completion(talk, asked=bool(asked))
        elif body.get("stream"):
            await self._stream(talk, body, asked=bool(asked))
        else:
            answer = completion(self.text)
            answer["choices"][0]["logprobs"] = self._logprobs(self.tokens) if asked else None
            await talk.send(response(200, json.dumps(answer).encode()))

    def _logprobs(self, tokens: tuple[str, ...]) -> dict[str, Any]:
        return {"content": [position(token, self.probability) for token in tokens]}

    async def _stream(self, talk: Talk, body: dict[str, Any], *, asked: bool) -> None:
        await talk.send(SSE_HEAD)
        await talk.event(ROLE)
        for token in self.tokens:
            await asyncio.sleep(self.delay)
            chunk = delta(content=token)
            chunk["choices"][0]["logprobs"] = self._logprobs((token,)) if asked else None
            await talk.event(chunk)
        await talk.event(finish())
        if (body.get("stream_options") or {}).get("include_usage"):
            await talk.event(usage_chunk())
        await talk.chunk(event(b"[DONE]"))
        await talk.last_chunk()

    async def _completion(self, talk: Talk, *, asked: bool) -> None:
        tops = [{token: math.log(self.probability), "x": -9.0} for token in self.tokens]
        found = {
            "tokens": list(self.tokens),
            "token_logprobs": [math.log(self.probability)] * len(self.tokens),
            "top_logprobs": tops,
        }
        choice = {"index": 0, "text": self.text, "logprobs": found if asked else None}
        answer = {"id": "c", "object": "text_completion", "choices": [choice], "usage": USAGE}
        await talk.send(response(200, json.dumps(answer).encode()))


def breaks_after(drafter: Drafter, events: int, then: Behaviour) -> Behaviour:
    """Stream so many tokens of an answer, and then misbehave."""

    async def behave(talk: Talk) -> None:
        await talk.send(SSE_HEAD)
        await talk.event(ROLE)
        for token in drafter.tokens[:events]:
            chunk = delta(content=token)
            chunk["choices"][0]["logprobs"] = drafter._logprobs((token,))
            await talk.event(chunk)
        await then(talk)

    return behave


API = "from the API"
LOCAL = Drafter().text


def cascade(
    local: dict[str, Any], api: Upstream, policy: dict[str, Any] | None = None, **classifier: Any
) -> dict[str, Any]:
    """Return a table whose `auto` drafts at `local` and escalates to `api`."""
    both = {"local": local, "api": backend(api.url, trust="external")}
    described = {"type": "cascade", "draftTokens": 4, "timeout": 10, **classifier}
    return table(both, policy={"classifier": described, **(policy or {})})


def engine(*urls: str, **fields: Any) -> dict[str, Any]:
    """Return a local backend that is a vLLM."""
    return backend(*urls, engine="vllm", **fields)


async def ask(
    drafter: Behaviour,
    api: Behaviour | None = None,
    *,
    policy: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[Reply, list[Received], list[Received], Router]:
    """Return the client's answer, and what both sides were asked."""
    async with (
        Upstream(drafter) as local,
        Upstream(api or answers(API)) as remote,
        router(cascade(engine(local.url), remote, policy), classifies=True) as r,
    ):
        reply = await r.chat("auto", **fields)
        return reply, local.received, remote.received, r


def said(reply: Reply) -> Any:
    """Return the text of an answer, streamed or not."""
    if reply.headers["content-type"].startswith("text/event-stream"):
        return reply.text()
    return reply.json()["choices"][0]["message"]["content"]


def why(reply: Reply) -> tuple[str | None, ...]:
    """Return who answered, why, who judged, and after how many attempts."""
    names = ("source", "reason", "classifier", "attempts")
    return tuple(reply.headers.get(f"x-hybrid-{name}") for name in names)
