"""A client's request: parsed once, forwarded as it came or rebuilt from raw slices.

The top level is taken apart into raw values. What is needed is read from them; everything else is
never decoded, so that no number, escape or unknown field changes on its way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from mypy_extensions import mypyc_attr

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
from hybrid_router.openai.fields import RENAMED, VLLM_ONLY, VLLM_ONLY_STREAM_OPTIONS
from hybrid_router.openai.form import HIDING_USAGE, PASSED, Form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.table import Backend, Capability

Kind = Literal["chat", "completions", "embeddings", "messages", "count_tokens", "responses"]
"""The surface that a client called, or that a backend is asked at."""

BYTES_PER_TOKEN: Final = 4
"""Of English text with current tokenizers; an estimate until the backend says better."""
MEDIA_TOKENS: Final = 1_000
"""Of one image or recording, about; its base64 says nothing of its tokens."""
MEDIA_LEAST_BYTES: Final = 4_096
DEFAULT_ANSWER_TOKENS: Final = 512
"""Assumed for a request that sets no limit, where a guess is needed."""

CONTENT: Final[Mapping[Kind, str]] = {
    "chat": "messages",
    "completions": "prompt",
    "embeddings": "input",
    "messages": "messages",
    "count_tokens": "messages",
    "responses": "input",
}
"""Where each surface has its messages, or its text."""
_CAPABILITIES: Final[Mapping[Kind, Capability]] = {
    "completions": "completions",
    "embeddings": "embeddings",
}
PATHS: Final[Mapping[Kind, str]] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "messages": "/messages",
    "count_tokens": "/messages/count_tokens",
    "responses": "/responses",
}
"""Below a backend's base URL."""
_MEDIA: Final[tuple[bytes, ...]] = (b";base64,", b'"data":"', b'"data": "')
"""What stands before base64: in data URLs, and in `input_audio` and `file` parts."""
_UNANSWERED: Final = frozenset({"embeddings", "count_tokens"})
"""Surfaces that generate nothing."""
_SEEN: Final = frozenset({"image_url", "image", "video_url", "input_image"})
_HEARD: Final = frozenset({"input_audio", "audio_url"})
_ANSWER_LIMITS: Final[tuple[str, ...]] = (
    "max_completion_tokens", "max_tokens", "max_output_tokens",
)  # fmt: skip


_LIST: Final = re.compile(rb"\[\s*([^\s\]])?")
"""How a list begins; with a group, if it is not empty."""
NOTHING: Final[Mapping[str, object]] = {}


class _Part(msgspec.Struct):
    type: str = ""


class Message(msgspec.Struct):
    """As much of a message as its media are found by."""

    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


class _ResponseFormat(msgspec.Struct):
    type: str = "text"


class Outgoing(msgspec.Struct, frozen=True):
    """A body for one backend."""

    body: bytes
    path: str
    """Below the backend's base URL."""
    form: Form = PASSED
    """How the answer is read."""
    dropped: tuple[str, ...] = ()
    """Fields that this backend does not know."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Call:
    """One request.

    Attributes:
        kind: the surface that the client called.
        body: the client's bytes.
        fields: the top level of the body, its values as they came.
        model: the name that the client wrote.
        stream: whether the answer is to be streamed.
        limit: the longest answer that the client explicitly asks for, in tokens; None without.
        prompt_tokens: estimated from the length of what is sent.
        answer_tokens: the longest answer that the client asks for, or a guess.
        decoded: the whole body, where somebody had to decode it; as long as it may be of use.
    """

    __slots__ = (
        "answer_tokens",
        "body",
        "decoded",
        "fields",
        "kind",
        "limit",
        "model",
        "prompt_tokens",
        "stream",
    )

    def __init__(
        self, kind: Kind, body: bytes, fields: Fields, model: str, *, stream: bool
    ) -> None:
        self.kind = kind
        self.body = body
        self.fields = fields
        self.model = model
        self.stream = stream
        self.decoded: object = None
        self.prompt_tokens = estimated_tokens(kind, fields[CONTENT[kind]])
        self.limit = _answer_limit(fields) if kind not in _UNANSWERED else 0
        self.answer_tokens = DEFAULT_ANSWER_TOKENS if self.limit is None else self.limit

    @property
    def asked_tokens(self) -> int:
        """The prompt and the longest answer that the client explicitly asks for, estimated."""
        return self.prompt_tokens + (self.limit or 0)

    def messages(self) -> list[dict[str, Any]]:
        """Return a chat's messages, decoded.

        Raises:
            ApiError: they are not a list of objects.
        """
        if isinstance(self.decoded, dict):
            known = self.decoded.get("messages")
            if isinstance(known, list) and all([isinstance(each, dict) for each in known]):  # noqa: C419  a list is faster
                return known.copy()
        messages: list[dict[str, Any]] = typed(
            self.fields["messages"], list[dict[str, Any]], "messages"
        )
        return messages

    def text(self) -> str:
        """Return a completion's prompt as text; empty where it is token ids."""
        prompt = lenient(self.fields["prompt"], str | list[str])
        return prompt if isinstance(prompt, str) else "\n".join(prompt or ())

    def capabilities(self) -> frozenset[Capability]:
        """Return what a model must be able to do to answer.

        Raises:
            ApiError: a field that must be understood for this is ill-typed.
        """
        found: set[Capability] = {_CAPABILITIES.get(self.kind, "chat")}
        fields = self.fields
        if filled(fields, "tools") or filled(fields, "functions"):
            found.add("tools")
        if "response_format" in fields:
            chosen = lenient(fields["response_format"], _ResponseFormat)
            if chosen is not None and chosen.type != "text":
                found.add("structured-output")
        if filled(fields, "logprobs"):
            found.add("logprobs")
        if "n" in fields and (lenient(fields["n"], int) or 1) > 1:
            found.add("n")
        if self.kind == "chat":
            found |= media(typed(fields["messages"], list[Message], "messages"))
        return frozenset(found)

    def outgoing(
        self, model: str, backend: Backend, extra: Mapping[str, object] = NOTHING
    ) -> Outgoing:
        """Return the body for a backend, which is the client's own where nothing changes.

        Args:
            model: the name that the backend knows.
            backend: its dialect decides what is dropped and renamed.
            extra: fields that the router asks for, and the client did not.
        """
        fields = self.fields
        changed: dict[str, Any] = {}
        if model != self.model:
            changed["model"] = model
        if extra:
            changed |= extra
        path = PATHS[self.kind]
        form = HIDING_USAGE if self._ask_for_usage(changed) else PASSED
        dropped: list[str] = []
        if backend.engine != "vllm":
            dropped = self._drop(changed)
        renames = RENAMED.get(backend.provider or "") if self.kind == "chat" else None
        if renames is not None and not renames.keys().isdisjoint(fields):
            body = _renamed(fields, changed, dropped, renames)
            return Outgoing(body, path, form, tuple(dropped))
        if not changed and not dropped:
            return Outgoing(self.body, path)
        merged: dict[str, Any] = {**fields, **changed}
        for name in dropped:
            merged.pop(name, None)
        return Outgoing(encode(merged), path, form, tuple(dropped))

    def _ask_for_usage(self, changed: dict[str, Any]) -> bool:
        """Ask for the usage of a stream; return whether the client had not."""
        if not self.stream or self.kind == "embeddings":
            return False
        raw = self.fields.get("stream_options")
        options = {} if raw is None else lenient(raw, dict[str, msgspec.Raw] | None)
        if options is None:
            options = {}
        if "include_usage" in options and lenient(options["include_usage"], bool) is not False:
            return False
        changed["stream_options"] = {**options, "include_usage": True}
        return True

    def _drop(self, changed: dict[str, Any]) -> list[str]:
        """Return the fields that only vLLM knows, and cut the nested ones out of `changed`."""
        dropped = sorted(VLLM_ONLY.intersection(self.fields))
        raw = self.fields.get("stream_options")
        if raw is None:
            return dropped
        options = changed.get("stream_options") or lenient(raw, dict[str, msgspec.Raw])
        if options and not VLLM_ONLY_STREAM_OPTIONS.isdisjoint(options):
            kept = {k: v for k, v in options.items() if k not in VLLM_ONLY_STREAM_OPTIONS}
            changed["stream_options"] = kept
            dropped += [f"stream_options.{k}" for k in sorted(options.keys() - kept.keys())]
        return dropped


def parse(kind: Kind, body: bytes) -> Call:
    """Take a request apart.

    Raises:
        ApiError: 400, with the field at fault in `param`.
    """
    fields = take_apart(body)
    model = typed(required(fields, "model"), str, "model")
    if not model:
        raise invalid("model", "`model` is empty; /v1/models lists the names")
    content = CONTENT[kind]
    raw = required(fields, content)
    if kind == "chat":
        begins = _LIST.match(raw)
        if begins is None:
            raise invalid(content, "`messages` must be a list of messages")
        if begins.lastindex is None:
            raise invalid(content, "`messages` is empty; at least one message is needed")
    stream = fields.get("stream")
    streamed = typed(stream, bool | None, "stream") if stream is not None else False
    return Call(kind, body, fields, model, stream=bool(streamed) and kind != "embeddings")


def estimated_tokens(kind: Kind, raw: msgspec.Raw) -> int:
    """Return about how many tokens a prompt has: by its length, and its media by their number."""
    size = len(memoryview(raw))
    if kind == "embeddings" or size < MEDIA_LEAST_BYTES:
        return size // BYTES_PER_TOKEN + 1
    text = bytes(raw)
    media = 0
    for mark in _MEDIA if _may_hold_media(text) else ():
        at = text.find(mark)
        while at >= 0:
            start = at + len(mark)
            at = text.find(b'"', start)
            if at - start >= MEDIA_LEAST_BYTES:
                size -= at - start
                media += 1
            at = text.find(mark, at) if at >= 0 else -1
    return size // BYTES_PER_TOKEN + 1 + media * MEDIA_TOKENS


def _may_hold_media(text: bytes) -> bool:
    """Return whether enough bytes for an image stand together without a space.

    Prose has a space every few bytes: it is stepped over in a microsecond, where looking for the
    marks of media costs as much as reading the JSON.
    """
    start = 0
    while len(text) - start >= MEDIA_LEAST_BYTES:
        space = text.rfind(b" ", start, start + MEDIA_LEAST_BYTES)
        if space < 0:
            return True
        start = space + 1
    return False


def _answer_limit(fields: Fields) -> int | None:
    """Return the longest answer that the client asks for; None if it sets no limit."""
    for name in _ANSWER_LIMITS:
        if name in fields:
            limit: int | None = lenient(fields[name], int)
            if limit is not None and limit > 0:
                return limit
    return None


def media(messages: list[Message]) -> set[Capability]:
    """Return what the parts of the messages ask of a model's senses."""
    found: set[Capability] = set()
    for message in messages:
        if bytes(memoryview(message.content)[:1]) != b"[":
            continue
        for part in lenient(message.content, list[_Part]) or ():
            if part.type in _SEEN:
                found.add("vision")
            elif part.type in _HEARD:
                found.add("audio")
    return found


def _renamed(
    fields: Fields, changed: dict[str, Any], dropped: list[str], renames: Mapping[str, str]
) -> bytes:
    merged: dict[str, Any] = {}
    for name, value in {**fields, **changed}.items():
        if name in dropped:
            continue
        new = renames.get(name, name)
        if new == name or new not in fields:
            merged[new] = value
    return encode(merged)
