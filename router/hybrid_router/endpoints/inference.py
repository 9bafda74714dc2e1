"""POST endpoints that a model answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import parse
from hybrid_router.openai.simple import parse_simple, simple_answer
from hybrid_router.responses.request import parse_responses
from hybrid_router.server.exchange import JSON

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hybrid_router.pipeline import Pipeline
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.upstream.job import Job

_chat: Final = partial(parse, "chat")
_completions: Final = partial(parse, "completions")
_embeddings: Final = partial(parse, "embeddings")
_messages: Final = partial(parse_messages, "messages")
_count_tokens: Final = partial(parse_messages, "count_tokens")


class Inference:
    """OpenAI's surfaces, Anthropic's, and the small one."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def chat(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer OpenAI's chat completions, streamed or not."""
        return self._pipeline.answer(exchange, "chat", _chat)

    def completions(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer OpenAI's legacy completions, streamed or not."""
        return self._pipeline.answer(exchange, "completions", _completions)

    def embeddings(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer OpenAI's embeddings; never by another model than the one named."""
        return self._pipeline.answer(exchange, "embeddings", _embeddings)

    def responses(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer OpenAI's responses, streamed or not."""
        return self._pipeline.answer(exchange, "responses", parse_responses)

    def messages(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer Anthropic's messages, streamed or not."""
        return self._pipeline.answer(exchange, "messages", _messages)

    def count_tokens(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Count a message's tokens: by a backend that does, else by an estimate."""
        return self._pipeline.answer(exchange, "count_tokens", _count_tokens)

    def simple(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """Answer a bare prompt."""
        return self._pipeline.answer(exchange, "simple", parse_simple, _write_simple)


def _write_simple(exchange: Exchange, job: Job) -> None:
    if job.last is None or job.backend is None:
        return
    try:
        body = simple_answer(job.last.body, job.backend)
    except NotAnAnswerError as error:
        raise ApiError(502, "upstream_broken", str(error)) from None
    exchange.reply(200, JSON + job.lines, body)
