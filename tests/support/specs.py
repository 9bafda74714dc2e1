"""Specs for property tests: whatever the types admit, drawn from the types themselves."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hybrid_operator.api.base import Shape, Spec
from hybrid_operator.api.resource import HybridInferenceSpec

_ITEMS = 2
_POD = ["spec", "metadata", "labels", "containers", "name", "env", "volumes", "nodeSelector", "a"]
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["engine", "router", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_POD), inner),
    max_leaves=6,
)


def specs() -> st.SearchStrategy[HybridInferenceSpec]:
    """Return a strategy for specs that the types admit; the rules between fields may be broken."""
    return _part(HybridInferenceSpec).map(_read).filter(lambda spec: spec is not None)


def _read(document: Any) -> Any:
    try:
        return HybridInferenceSpec.model_validate(document)
    except ValidationError:
        return None


def _part(part: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in part.model_fields.items():
        kind = required if field.is_required() else optional
        kind[field.alias or name] = _value(field.annotation, [*field.metadata, field])
    return st.fixed_dictionaries(required, optional=optional)


def _value(kind: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        return _value(inner, [*marks, *_flat(more)])
    if origin in {Union, types.UnionType}:
        return st.one_of(
            *(_value(each, marks) for each in get_args(kind) if each is not type(None))
        )
    if origin is Literal:
        return st.sampled_from(get_args(kind))
    if origin is list:
        (item,) = get_args(kind)
        return st.lists(_value(item, []), min_size=_limit(marks, "min_length", 0), max_size=_ITEMS)
    return _plain(kind, marks)


def _plain(kind: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and issubclass(kind, Spec):
        return _part(kind)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(_limit(marks, "ge", 0), _limit(marks, "le", 2**31))
    return _text(marks) if kind is str else st.dictionaries(st.sampled_from(_POD), _JUNK)


def _text(marks: list[Any]) -> st.SearchStrategy[str]:
    longest = _limit(marks, "max_length", 20)
    shape = next((mark for mark in marks if isinstance(mark, Shape)), None)
    if shape is None:
        return st.text(min_size=_limit(marks, "min_length", 0), max_size=min(longest, 20))
    text = st.from_regex(shape.pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
    return text.filter(lambda each: len(each) <= longest and shape.holds(each))


def _flat(marks: list[Any]) -> list[Any]:
    return [
        each
        for mark in marks
        for each in ([*mark.metadata, mark] if isinstance(mark, FieldInfo) else [mark])
    ]


def _limit(marks: list[Any], name: str, default: int) -> int:
    found = (getattr(mark, name, None) for mark in marks)
    return next((limit for limit in found if limit is not None), default)
