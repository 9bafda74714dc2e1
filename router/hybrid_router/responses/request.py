"""A client's request to the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

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
from hybrid_router.openai.fields import VLLM_ONLY
from hybrid_router.openai.request import (
    BYTES_PER_TOKEN,
    NOTHING,
    PATHS,
    Call,
    Message,
    Outgoing,
    media,
)
from hybrid_router.responses.form import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.table import Backend, Capability

PINNED = ("previous_response_id", "conversation", "background", "prompt")
"""Fields that lead to what one backend keeps: no other backend can answer."""


class _Format(msgspec.Struct):
    type: str = "text"


class _Text(msgspec.Struct):
    format: _Format | None = None


class ResponsesCall(Call):
    """One request to /v1/responses.

    Attributes:
        shared: the model's name leads to several backends, and none of them is to keep anything.
    """

    __slots__ = ("shared",)

    def __init__(self, body: bytes, fields: Fields, model: str, *, stream: bool) -> None:
        super().__init__("responses", body, fields, model, stream=stream)
        self.shared = False
        for name in ("instructions", "tools"):
            if name in fields:
                self.prompt_tokens += len(memoryview(fields[name])) // BYTES_PER_TOKEN

    def share(self) -> None:
        """Note that the name leads to several backends.

        Raises:
            ApiError: 400, the request leads to what one of them keeps.
        """
        for name in PINNED:
            if filled(self.fields, name):
                raise invalid(
                    name,
                    f"`{name}` needs one backend that keeps the response, and {self.model} may be "
                    "answered by several: name one model of /v1/models, or send the whole "
                    "conversation in `input`",
                )
        self.shared = True

    def messages(self) -> list[dict[str, Any]]:
        """Return instructions and input as messages.

        Raises:
            ApiError: `input` is neither text nor a list of objects.
        """
        given = typed(self.fields["input"], str | list[dict[str, Any]], "input")
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
        instructions = lenient(self.fields.get("instructions", _NULL), str | None)
        if instructions:
            messages.insert(0, {"role": "system", "content": instructions})
        return messages

    def capabilities(self) -> frozenset[Capability]:
        """Return what a model must be able to do to answer.

        Raises:
            ApiError: `input` is ill-typed.
        """
        found: set[Capability] = {"chat"}
        if filled(self.fields, "tools"):
            found.add("tools")
        text = lenient(self.fields.get("text", _NULL), _Text | None)
        if text is not None and text.format is not None and text.format.type != "text":
            found.add("structured-output")
        if filled(self.fields, "top_logprobs"):
            found.add("logprobs")
        given = self.fields["input"]
        if bytes(memoryview(given)[:1]) == b"[":
            found |= media(typed(given, list[Message], "input"))
        return frozenset(found)

    def outgoing(
        self,
        model: str,
        backend: Backend,
        extra: Mapping[str, object] = NOTHING,  # noqa: ARG002  Call
    ) -> Outgoing:
        """Return the body for a backend that has the Responses API."""
        changed: dict[str, Any] = {}
        dropped: list[str] = []
        if model != self.model:
            changed["model"] = model
        if self.shared and bytes(self.fields.get("store", b"")) != b"false":
            changed["store"] = False
            if filled(self.fields, "store"):
                dropped.append("store")
        path = PATHS["responses"]
        unknown = () if backend.engine == "vllm" else sorted(VLLM_ONLY.intersection(self.fields))
        if not changed and not unknown:
            return Outgoing(self.body, path, RESPONSES)
        merged = {**self.fields, **changed}
        for name in unknown:
            del merged[name]
        return Outgoing(encode(merged), path, RESPONSES, (*dropped, *unknown))


_NULL = msgspec.Raw(b"null")


def parse_responses(body: bytes) -> ResponsesCall:
    """Take a request apart.

    Raises:
        ApiError: 400, with the field at fault in `param`.
    """
    fields = take_apart(body)
    model = typed(required(fields, "model"), str, "model")
    if not model:
        raise invalid("model", "`model` is empty; /v1/models lists the names")
    given = bytes(memoryview(required(fields, "input"))[:1])
    if given not in {b'"', b"["}:
        raise invalid("input", "`input` must be text or a list of items")
    streamed = False
    if "stream" in fields:
        streamed = bool(typed(fields["stream"], bool | None, "stream"))
    return ResponsesCall(body, fields, model, stream=streamed)
