"""A client's request to the Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hybrid_router.anthropic.form import COUNT, MESSAGES
from hybrid_router.openai.body import (
    Fields,
    encode,
    filled,
    invalid,
    lenient,
    required,
    take_apart,
    typed,
)
from hybrid_router.openai.request import (
    BYTES_PER_TOKEN,
    NOTHING,
    PATHS,
    Call,
    Message,
    Outgoing,
    media,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.table import Backend, Capability


class _OutputConfig(msgspec.Struct):
    format: msgspec.Raw = msgspec.Raw(b"null")


class MessagesCall(Call):
    """One request to /v1/messages, or to count its tokens."""

    __slots__ = ()

    def __init__(
        self,
        kind: Literal["messages", "count_tokens"],
        body: bytes,
        fields: Fields,
        model: str,
        *,
        stream: bool,
    ) -> None:
        super().__init__(kind, body, fields, model, stream=stream)
        for name in ("system", "tools"):
            if name in fields:
                self.prompt_tokens += len(memoryview(fields[name])) // BYTES_PER_TOKEN

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages with the system prompt before them, decoded.

        Raises:
            ApiError: they are not a list of objects.
        """
        messages = super().messages()
        if "system" in self.fields:
            system = lenient(self.fields["system"], str | list[dict[str, Any]])
            messages.insert(0, {"role": "system", "content": system})
        return messages

    def capabilities(self) -> frozenset[Capability]:
        """Return what a model must be able to do to answer.

        Raises:
            ApiError: the messages are ill-typed.
        """
        found: set[Capability] = {"chat"}
        if filled(self.fields, "tools"):
            found.add("tools")
        if "output_config" in self.fields:
            config = lenient(self.fields["output_config"], _OutputConfig)
            if config is not None and bytes(config.format) != b"null":
                found.add("structured-output")
        return frozenset(found | media(typed(self.fields["messages"], list[Message], "messages")))

    def outgoing(
        self,
        model: str,
        backend: Backend,  # noqa: ARG002  Call
        extra: Mapping[str, object] = NOTHING,  # noqa: ARG002  Call
    ) -> Outgoing:
        """Return the body for a backend that has the Messages API: the client's own."""
        form = COUNT if self.kind == "count_tokens" else MESSAGES
        if model == self.model:
            return Outgoing(self.body, PATHS[self.kind], form)
        return Outgoing(encode({**self.fields, "model": model}), PATHS[self.kind], form)


def estimated_count(call: Call) -> bytes:
    """Return the answer of `count_tokens` where no backend counts: estimated from the length."""
    return encode({"input_tokens": call.prompt_tokens})


def parse_messages(kind: Literal["messages", "count_tokens"], body: bytes) -> MessagesCall:
    """Take a request apart.

    Raises:
        ApiError: 400, with the field at fault in `param`.
    """
    fields = take_apart(body)
    model = typed(required(fields, "model"), str, "model")
    if not model:
        raise invalid("model", "`model` is empty; /v1/models lists the names")
    raw = bytes(memoryview(required(fields, "messages")))
    if raw[:1] != b"[" or raw[1:].lstrip()[:1] == b"]":
        raise invalid("messages", "`messages` must be a list of at least one message")
    if kind == "messages":
        most = typed(required(fields, "max_tokens"), int, "max_tokens")
        if most < 1:
            raise invalid("max_tokens", "`max_tokens` must be at least 1")
    streamed = False
    if kind == "messages" and "stream" in fields:
        streamed = bool(typed(fields["stream"], bool | None, "stream"))
    return MessagesCall(kind, body, fields, model, stream=streamed)
