"""Continuing a broken stream: which requests can be, what is asked for, and what the client gets.

Another replica is asked for a text completion of the prompt's ids and those already generated, and
its chunks are written in the form of the broken stream, so that the client sees one stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_router.openai.answer import lenient_usage
from hybrid_router.openai.sse import DONE, MAX_EVENT_BYTES, payload, split
from hybrid_router.openai.tokens import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.request import Call
    from hybrid_router.openai.shapes import Usage
    from hybrid_router.openai.tokens import Tokens
    from hybrid_router.table import Target

MAX_PROMPT_TOKENS = 32_768
"""Estimated. Above it a stream's ids are not kept: 200 KiB per stream is enough."""

_RESUMABLE = frozenset({"chat", "completions"})
_SAMPLING = frozenset(
    {
        "allowed_token_ids",
        "cache_salt",
        "ignore_eos",
        "logit_bias",
        "min_p",
        "priority",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "temperature",
        "top_k",
        "top_p",
        "user",
    }
)
"""Fields that mean the same for every token, and that the continuation gets as they are."""
_SPENT = frozenset(
    {
        "add_generation_prompt",
        "add_special_tokens",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_tokens",
        "model",
        "parallel_tool_calls",
        "prompt",
        "prompt_cache_key",
        "reasoning_effort",
        "request_id",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "truncate_prompt_tokens",
    }
)
"""Fields that have had their effect on the prompt, have none, or are set anew."""
_NOTHING = frozenset({b"null", b"false", b"0", b"0.0", b"[]", b"{}", b'""'})
_NEUTRAL: Mapping[str, frozenset[bytes]] = {
    "n": frozenset({b"1", b"null"}),
    "best_of": frozenset({b"1", b"null"}),
    "repetition_penalty": frozenset({b"1", b"1.0", b"null"}),
    "length_penalty": frozenset({b"1", b"1.0", b"null"}),
    "include_reasoning": frozenset({b"true", b"null"}),
    "tool_choice": frozenset({b'"none"', b'"auto"', b"null"}),
}
"""Values of fields that would forbid a continuation, with which they do not."""


class _Part(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _Options(msgspec.Struct):
    continuous_usage_stats: bool | None = None


_messages = msgspec.json.Decoder(list[_Message])
_options = msgspec.json.Decoder(_Options | None)


def resumable(call: Call, target: Target) -> bool:
    """Return whether a broken stream of this request may be continued by its token ids.

    One answer of plain text, sampled token by token from what stands before it: what looks back at
    the answer as a whole (penalties, stop strings, grammars, parsers, log-probabilities), and every
    field that is not known here, rules it out.
    """
    if call.kind not in _RESUMABLE or not call.stream or call.prompt_tokens > MAX_PROMPT_TOKENS:
        return False
    if call.limit is None and target.max_context_tokens is None:
        return False  # nobody could say how much is missing
    for name, raw in call.fields.items():
        if name in _SAMPLING or name in _SPENT:
            continue
        value = bytes(raw)
        if name == "response_format":
            if b"".join(value.split()) not in {b'{"type":"text"}', b"null"}:
                return False
        elif value not in _NEUTRAL.get(name, _NOTHING):
            return False
    return _text_only(call) and not _counts_on(call)


def _text_only(call: Call) -> bool:
    if call.kind != "chat":
        return bytes(memoryview(call.fields["prompt"])[:1]) == b'"'
    raw = call.fields["messages"]
    if b'"type"' not in bytes(raw):
        return True
    try:
        messages = _messages.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    parts = (part for m in messages if isinstance(m.content, list) for part in m.content)
    return all(part.type == "text" for part in parts)


def _counts_on(call: Call) -> bool:
    """Whether each chunk is to carry the usage so far."""
    raw = call.fields.get("stream_options")
    if raw is None or b"continuous" not in bytes(raw):
        return False
    try:
        options = _options.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return True
    return options is not None and bool(options.continuous_usage_stats)


def left(call: Call, target: Target, tokens: Tokens) -> int | None:
    """Return how many tokens are still to come at most; None if nobody set a limit.

    vLLM's completions stop after 16 where they are given none, null included, and refuse one that
    does not fit: so it is computed.
    """
    if call.limit is not None:
        return call.limit - tokens.count
    if target.max_context_tokens is None:
        return None
    return target.max_context_tokens - tokens.prompt_count - tokens.count


def continuation(call: Call, target: Target, tokens: Tokens) -> bytes:
    """Return the body that asks for the rest, of /v1/completions.

    Args:
        call: the client's request.
        target: the model that began to answer.
        tokens: what has been let through, rewound.
    """
    fields = call.fields
    body: dict[str, object] = {name: raw for name, raw in fields.items() if name in _SAMPLING}
    least = msgspec.json.decode(fields["min_tokens"]) if "min_tokens" in fields else None
    if isinstance(least, int) and least > tokens.count:
        body["min_tokens"] = least - tokens.count
    body |= {
        "model": target.model,
        "prompt": msgspec.Raw(tokens.sequence()),
        "max_tokens": left(call, target, tokens),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    return msgspec.json.encode(body)


class _Choice(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw(b'""')
    finish_reason: msgspec.Raw = msgspec.Raw(b"null")
    stop_reason: msgspec.Raw = msgspec.Raw(b"null")
    token_ids: list[int] | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_chunk = msgspec.json.Decoder(_Chunk)


class Rest:
    """The rest of a broken stream: chunks of a text completion in, the broken stream's own out.

    Attributes:
        failure: why it cannot go on; None as long as all is well.
        usage: of this part alone, as the backend said.
        events: with a choice; about one token each.
    """

    __slots__ = ("_pending", "_tokens", "events", "failure", "usage")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._pending = b""
        self.events = 0
        self.failure: str | None = None
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body; return the chunks that it stands for."""
        events, self._pending = split(self._pending + data)
        if len(self._pending) > MAX_EVENT_BYTES:
            self.failure = "an event is too long"
        passed: list[bytes] = []
        for event in events:
            if self.failure is not None:
                break
            said = payload(event)
            if said is not None:
                passed.append(self._event(said))
        return b"".join(passed)

    def _event(self, data: bytes) -> bytes:
        if data == DONE:
            if not self._tokens.finished:
                self.failure = "the stream ended before its answer did"
                return b""
            return last(self._tokens, with_usage=True)
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.failure = "an event is not a JSON object of the OpenAI API"
            return b""
        if bytes(chunk.error) != b"null":
            self.failure = "the stream reports an error"
            return b""
        self.usage = lenient_usage(chunk.usage) or self.usage
        return b"".join([self._choice(choice) for choice in chunk.choices])

    def _choice(self, choice: _Choice) -> bytes:
        finish, text = bytes(choice.finish_reason), bytes(choice.text)[1:-1]
        if finish in INTERRUPTED or self._tokens.form is None:
            self.failure = "the backend gave the stream up"
            return b""
        ids = b",".join([b"%d" % token for token in choice.token_ids or ()])
        if text and not ids:
            self._tokens.plain = False  # from here on it can be continued no more
        self._tokens.add(ids, text=bool(text))
        self.events += 1
        if finish == b"null":
            return self._tokens.form.chunk(text) if text else b""
        self._tokens.finished = True
        stop = bytes(choice.stop_reason)
        return self._tokens.form.chunk(text, finish, stop if stop != b"null" else b"")


def last(tokens: Tokens, *, with_usage: bool) -> bytes:
    """Return the events that end a stream whose finish reason has been let through."""
    done = b"data: " + DONE + b"\n\n"
    if not with_usage or tokens.form is None:
        return done
    return tokens.form.usage(tokens.prompt_count, tokens.count) + done


def cut_at_limit(tokens: Tokens) -> bytes:
    """Return the chunk that ends an answer of which all tokens but no finish reason came."""
    tokens.finished = True
    return tokens.form.chunk(b"", b'"length"') if tokens.form is not None else b""
