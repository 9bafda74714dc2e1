"""A client's request: parsed once, forwarded as it came or rebuilt from raw slices.

The top level is taken apart into raw values. What is needed is read from them; everything else is
never decoded, so that no number, escape or unknown field changes on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.fields import RENAMED, VLLM_ONLY, VLLM_ONLY_STREAM_OPTIONS
from hybrid_router.openai.form import HIDING_USAGE, PASSED, Form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.table import Backend, Capability

Kind = Literal["chat", "completions", "embeddings"]

BYTES_PER_TOKEN = 4
"""Of English text with current tokenizers; an estimate until the backend says better."""
MEDIA_TOKENS = 1_000
"""Of one image or recording, about; its base64 says nothing of its tokens."""
MEDIA_LEAST_BYTES = 4_096
DEFAULT_ANSWER_TOKENS = 512
"""Assumed for a request that sets no limit, where a guess is needed."""

_Fields = dict[str, msgspec.Raw]

_top = msgspec.json.Decoder(_Fields)
_encode = msgspec.json.Encoder().encode

_CONTENT: dict[Kind, str] = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
PATHS: dict[Kind, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
"""Below a backend's base URL."""
_MEDIA = (b";base64,", b'"data":"', b'"data": "')
"""What stands before base64: in data URLs, and in `input_audio` and `file` parts."""
_ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")


class _Part(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
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


class Call:
    """One request.

    Attributes:
        kind: which endpoint of the OpenAI API.
        body: the client's bytes.
        model: the name that the client wrote.
        stream: whether the answer is to be streamed.
        prompt_tokens: estimated from the length of what is sent.
    """

    __slots__ = ("_fields", "_limit", "body", "kind", "model", "prompt_tokens", "stream")

    def __init__(
        self, kind: Kind, body: bytes, fields: _Fields, model: str, *, stream: bool
    ) -> None:
        self.kind = kind
        self.body = body
        self._fields = fields
        self.model = model
        self.stream = stream
        self.prompt_tokens = _prompt_tokens(kind, fields[_CONTENT[kind]])
        self._limit = _answer_limit(fields) if kind != "embeddings" else 0

    @property
    def fields(self) -> Mapping[str, msgspec.Raw]:
        """The top level of the body, its values as they came."""
        return self._fields

    @property
    def limit(self) -> int | None:
        """The longest answer that the client explicitly asks for, in tokens; None without."""
        return self._limit

    @property
    def answer_tokens(self) -> int:
        """The longest answer that the client asks for, or a guess."""
        return DEFAULT_ANSWER_TOKENS if self._limit is None else self._limit

    @property
    def asked_tokens(self) -> int:
        """The prompt and the longest answer that the client explicitly asks for, estimated."""
        return self.prompt_tokens + (self._limit or 0)

    def messages(self) -> list[dict[str, Any]]:
        """Return a chat's messages, decoded.

        Raises:
            ApiError: they are not a list of objects.
        """
        messages: list[dict[str, Any]] = typed(
            self._fields["messages"], list[dict[str, Any]], "messages"
        )
        return messages

    def text(self) -> str:
        """Return a completion's prompt as text; empty where it is token ids."""
        prompt = _lenient(self._fields["prompt"], str | list[str])
        return prompt if isinstance(prompt, str) else "\n".join(prompt or ())

    def capabilities(self) -> frozenset[Capability]:
        """Return what a model must be able to do to answer.

        Raises:
            ApiError: a field that must be understood for this is ill-typed.
        """
        found: set[Capability] = {self.kind}
        fields = self._fields
        if _filled(fields, "tools") or _filled(fields, "functions"):
            found.add("tools")
        if "response_format" in fields:
            chosen = _lenient(fields["response_format"], _ResponseFormat)
            if chosen is not None and chosen.type != "text":
                found.add("structured-output")
        if _filled(fields, "logprobs"):
            found.add("logprobs")
        if "n" in fields and (_lenient(fields["n"], int) or 1) > 1:
            found.add("n")
        if self.kind == "chat":
            found |= _media(typed(fields["messages"], list[_Message], "messages"))
        return frozenset(found)

    def outgoing(self, model: str, backend: Backend, *, with_ids: bool = False) -> Outgoing:
        """Return the body for a backend, which is the client's own where nothing changes.

        Args:
            model: the name that the backend knows.
            backend: its dialect decides what is dropped and renamed.
            with_ids: ask for the token ids of a stream; only vLLM knows them.
        """
        fields = self._fields
        changed: dict[str, Any] = {}
        if model != self.model:
            changed["model"] = model
        if with_ids:
            changed["return_token_ids"] = True
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
        return Outgoing(_encode(merged), path, form, tuple(dropped))

    def _ask_for_usage(self, changed: dict[str, Any]) -> bool:
        """Ask for the usage of a stream; return whether the client had not."""
        if not self.stream or self.kind == "embeddings":
            return False
        raw = self._fields.get("stream_options")
        options = {} if raw is None else _lenient(raw, dict[str, msgspec.Raw] | None)
        if options is None:
            options = {}
        if "include_usage" in options and _lenient(options["include_usage"], bool) is not False:
            return False
        changed["stream_options"] = {**options, "include_usage": True}
        return True

    def _drop(self, changed: dict[str, Any]) -> list[str]:
        """Return the fields that only vLLM knows, and cut the nested ones out of `changed`."""
        dropped = sorted(VLLM_ONLY.intersection(self._fields))
        raw = self._fields.get("stream_options")
        if raw is None:
            return dropped
        options = changed.get("stream_options") or _lenient(raw, dict[str, msgspec.Raw])
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
    content = _CONTENT[kind]
    raw = required(fields, content)
    if kind == "chat":
        first = bytes(memoryview(raw)[:1])
        if first != b"[":
            raise invalid(content, "`messages` must be a list of messages")
        if bytes(memoryview(raw)[1:]).lstrip()[:1] == b"]":
            raise invalid(content, "`messages` is empty; at least one message is needed")
    stream = fields.get("stream")
    streamed = typed(stream, bool | None, "stream") if stream is not None else False
    return Call(kind, body, fields, model, stream=bool(streamed) and kind != "embeddings")


def take_apart(body: bytes) -> _Fields:
    """Return the top level of a JSON object, its values as they came."""
    try:
        if not body.isascii():
            body.decode()
        return _top.decode(body)
    except UnicodeDecodeError:
        raise invalid(None, "the body is not UTF-8") from None
    except msgspec.ValidationError:
        raise invalid(None, "the body must be a JSON object") from None
    except msgspec.DecodeError as error:
        raise invalid(None, f"the body is not JSON: {_position(error)}") from None
    except RecursionError:
        raise invalid(None, "the body is nested too deeply") from None


def required(fields: _Fields, name: str) -> msgspec.Raw:
    """Return a field that must be there and not null."""
    raw = fields.get(name)
    if raw is None or bytes(memoryview(raw)[:4]) == b"null":
        raise invalid(name, f"`{name}` is missing")
    return raw


def typed(raw: msgspec.Raw, kind: Any, name: str) -> Any:  # noqa: ANN401  msgspec takes any type
    """Return a field's value, or the error that names the field."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(name, f"`{name}` is ill-typed: {error}") from None
    except msgspec.DecodeError as error:
        raise invalid(name, f"`{name}` is not JSON: {_position(error)}") from None
    except RecursionError:
        raise invalid(name, f"`{name}` is nested too deeply") from None


def _lenient(raw: msgspec.Raw, kind: Any) -> Any:  # noqa: ANN401  msgspec takes any type
    """Return the value, or None where it is not of that type: the backend says so better."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None


def _prompt_tokens(kind: Kind, raw: msgspec.Raw) -> int:
    """Estimate the tokens of a prompt: by its length, and of its media by their number."""
    size = len(memoryview(raw))
    if kind != "chat" or size < MEDIA_LEAST_BYTES:
        return size // BYTES_PER_TOKEN + 1
    text = bytes(raw)
    media = 0
    for mark in _MEDIA:
        at = text.find(mark)
        while at >= 0:
            start = at + len(mark)
            at = text.find(b'"', start)
            if at - start >= MEDIA_LEAST_BYTES:
                size -= at - start
                media += 1
            at = text.find(mark, at) if at >= 0 else -1
    return size // BYTES_PER_TOKEN + 1 + media * MEDIA_TOKENS


def _answer_limit(fields: _Fields) -> int | None:
    """Return the longest answer that the client asks for; None if it sets no limit."""
    for name in _ANSWER_LIMITS:
        if name in fields:
            limit: int | None = _lenient(fields[name], int)
            if limit is not None and limit > 0:
                return limit
    return None


def _filled(fields: _Fields, name: str) -> bool:
    raw = fields.get(name)
    return raw is not None and bytes(memoryview(raw)[:6]) not in {b"null", b"false", b"[]"}


def _media(messages: list[_Message]) -> set[Capability]:
    found: set[Capability] = set()
    for message in messages:
        if bytes(memoryview(message.content)[:1]) != b"[":
            continue
        for part in _lenient(message.content, list[_Part]) or ():
            if part.type in {"image_url", "image", "video_url"}:
                found.add("vision")
            elif part.type in {"input_audio", "audio_url"}:
                found.add("audio")
    return found


def _renamed(
    fields: _Fields, changed: dict[str, Any], dropped: list[str], renames: Mapping[str, str]
) -> bytes:
    merged: dict[str, Any] = {}
    for name, value in {**fields, **changed}.items():
        if name in dropped:
            continue
        new = renames.get(name, name)
        if new == name or new not in fields:
            merged[new] = value
    return _encode(merged)


def invalid(param: str | None, message: str) -> ApiError:
    """Return the error for a request whose field `param` is wrong."""
    return ApiError(400, "invalid_request", message, param=param)


def _position(error: msgspec.DecodeError) -> str:
    """Return msgspec's words, which hold a byte's position and nothing of the document."""
    return str(error).removeprefix("JSON is malformed: ")
