"""Requests as the official SDKs' types allow them: one for every place in which text can stand.

The types are those of the clients' parameters (`TypedDict`s, and the models of answers where these
may be sent back), and are walked breadth first. A type is entered once from each field that leads
to it: so every field of every type is met below every name under which it can stand, and recursion
ends.
"""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import pydantic
import typing_extensions
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from openai.types import completion_create_params, embedding_create_params
from openai.types.beta import response_create_params as beta_response_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

Kind = Literal["text", "name", "number", "anything", "constant"]
"""What may stand at a place: text, a name, a number, any JSON, one of a few words."""

_CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
_INPUT = {"model": "auto", "input": "hi"}
ROOTS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("chat", chat_create_params.CompletionCreateParamsNonStreaming, _CHAT),
    (
        "completions",
        completion_create_params.CompletionCreateParamsNonStreaming,
        {"model": "auto", "prompt": "hi"},
    ),
    ("embeddings", embedding_create_params.EmbeddingCreateParams, _INPUT),
    ("responses", response_create_params.ResponseCreateParamsNonStreaming, _INPUT),
    ("responses", beta_response_create_params.ResponseCreateParamsNonStreaming, _INPUT),
    (
        "messages",
        message_create_params.MessageCreateParamsNonStreaming,
        {**_CHAT, "max_tokens": 9},
    ),
    (
        "messages",
        beta_message_create_params.MessageCreateParamsNonStreaming,
        {**_CHAT, "max_tokens": 9},
    ),
    ("count_tokens", message_count_tokens_params.MessageCountTokensParams, _CHAT),
    ("count_tokens", beta_count_tokens_params.MessageCountTokensParams, _CHAT),
)
"""Surface, the type of its requests, and the least that the router takes there."""
_LEAST = {int: 1, float: 1.5, bool: True, type(None): None}


class Place(NamedTuple):
    """A place in a request where a client may write what it likes."""

    surface: str
    owner: str
    """The type whose field it is."""
    field: str
    """The field's name, as it is sent."""
    said: str
    """What the SDK says of it."""
    trail: str
    """The names on the way, for people."""
    kind: Any
    """What may stand there: a `Kind`; on the way, a type."""
    wrap: Callable[[Any], Any]
    """Return the whole request, given what stands there."""

    def at(self, least: dict[str, Any], key: str) -> Callable[[Any], Any]:
        """Return what makes the request of a field of the object that stands here."""
        return lambda value: self.wrap({**least, key: value})

    def on(self, kind: Any, put: Callable[[Any], Any] = lambda value: value) -> Place:
        """Return the place of a part of what stands here."""
        return self._replace(kind=kind, wrap=lambda value: self.wrap(put(value)))


def places() -> list[Place]:
    """Return every place of every surface; what two surfaces share is met at the first."""
    entered: set[tuple[str, str, Any]] = set()
    return [each for root in ROOTS for each in _below(root, entered)]


def _below(root: tuple[str, Any, dict[str, Any]], entered: set[Any]) -> Iterator[Place]:
    surface, form, least = root
    start = Place(surface, "", "", "", surface, form, lambda value: value)
    waiting = deque(_fields(start, form, [least]))
    while waiting:
        place = waiting.popleft()
        kind = _bare(place.kind)
        arguments = get_args(kind)
        if get_origin(kind) in {Union, types.UnionType}:
            waiting.extend(place.on(each) for each in arguments)
        elif _is_object(kind):
            if (place.owner, place.field, kind) not in entered:
                entered.add((place.owner, place.field, kind))
                waiting.extend(_fields(place, kind, _variants(kind)))
        elif _is(kind, list, Iterable, Sequence):
            waiting.append(place.on(arguments[0] if arguments else object, lambda value: [value]))
        elif _is(kind, dict, Mapping):
            yield place._replace(kind="name")
            waiting.append(place.on(arguments[1] if arguments else object, lambda v: {"a": v}))
        elif (found := _leaf(kind)) is not None:
            yield place._replace(kind=found)


def _leaf(kind: Any) -> Kind | None:
    if get_origin(kind) is Literal:
        return "constant" if any(isinstance(each, str) for each in get_args(kind)) else None
    known: dict[Any, Kind] = {
        str: "text", int: "number", float: "number", object: "anything", Any: "anything"
    }  # fmt: skip
    if kind in known:
        return known[kind]
    if kind in {bool, type(None)} or "os.PathLike" in repr(kind) or "IO" in repr(kind):
        return None  # files are sent as base64 text
    raise TypeError(f"the walk does not know {kind!r}")


def _fields(place: Place, kind: Any, variants: list[dict[str, Any]]) -> Iterator[Place]:
    told = _said(kind)
    for least in variants:
        for name, hint in _hints(kind).items():
            key = _alias(hint) or name
            yield Place(
                place.surface,
                kind.__name__,
                key,
                told.get(name, ""),
                f"{place.trail}.{key}",
                hint,
                place.at(least, key),
            )


def _variants(kind: Any) -> list[dict[str, Any]]:
    """Return the least objects of a type: with what it calls itself, and without where it may."""
    least: dict[str, Any] = _least(kind)
    if "type" not in _hints(kind) or "type" in least:
        return [least]
    return [least, {"type": _least(_hints(kind)["type"]), **least}]


def _least(kind: Any, within: tuple[Any, ...] = ()) -> Any:
    kind = _bare(kind)
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) in {Union, types.UnionType}:
        return _least(min(get_args(kind), key=lambda each: _is_object(_bare(each))), within)
    if _is_object(kind):
        return {
            _alias(hint) or name: _least(hint, (*within, kind))
            for name, hint in _hints(kind).items()
            if name in _required(kind) and kind not in within
        }
    if _is(kind, list, Iterable, Sequence):
        return []
    return {} if _is(kind, dict, Mapping) else _LEAST.get(kind, "a")


def _bare(kind: Any) -> Any:
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType):
            kind = kind.__value__
        elif hasattr(kind, "__metadata__"):
            kind = kind.__origin__
        elif get_origin(kind) in {typing_extensions.Required, typing_extensions.NotRequired}:
            kind = get_args(kind)[0]
        else:
            return kind


def _alias(kind: Any) -> str | None:
    """Return the name under which a field is sent, where that is another."""
    while get_origin(kind) is typing_extensions.Required:
        kind = get_args(kind)[0]
    for each in getattr(kind, "__metadata__", ()):
        if (alias := getattr(each, "alias", None)) is not None:
            return str(alias)
    return None


def _is(kind: Any, *wanted: Any) -> bool:
    origin = get_origin(kind) or kind
    return origin in wanted or (list in wanted and "SequenceNotStr" in repr(origin))


def _is_object(kind: Any) -> bool:
    model = inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel)
    return model or typing_extensions.is_typeddict(kind)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    if typing_extensions.is_typeddict(kind):
        return typing_extensions.get_type_hints(kind, include_extras=True)
    return {each.alias or name: each.annotation for name, each in kind.model_fields.items()}


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    if typing_extensions.is_typeddict(kind):
        # Of annotations that are strings, `__required_keys__` does not know what they require.
        return frozenset(
            name
            for name, hint in _hints(kind).items()
            if get_origin(hint) is typing_extensions.Required
            or (kind.__total__ and get_origin(hint) is not typing_extensions.NotRequired)
        )
    return frozenset(
        each.alias or name for name, each in kind.model_fields.items() if each.is_required()
    )


def _said(kind: Any) -> dict[str, str]:
    """Return what the SDK's source says of a type's fields."""
    module = inspect.getmodule(kind)
    found: dict[str, str] = {}
    for base in getattr(kind, "__orig_bases__", ()):
        found |= _said(base) if _is_object(base) else {}
    return found | _documented(module).get(kind.__name__, {})


@functools.cache
def _documented(module: types.ModuleType) -> dict[str, dict[str, str]]:
    """Return what a module's source says of fields, by their type."""
    return {
        node.name: {
            field.target.id: str(doc.value.value)
            for field, doc in pairwise(node.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(doc, ast.Expr)
            and isinstance(doc.value, ast.Constant)
        }
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef)
    }
