"""Specs for property tests: whatever the types admit, drawn from the types themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hybrid_operator.api import forms
from hybrid_operator.api.base import Spec
from hybrid_operator.api.read import SpecError, parse_stored
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


def as_said(value: Any, said: Any) -> Any:
    """Return what was read of `said`, as plain values: all of it, and no more."""
    if isinstance(value, Spec):
        return {
            name: as_said(getattr(value, field.name), said[name])
            for name, field in forms.fields(type(value)).items()
            if name in said
        }
    if isinstance(value, list):
        return [as_said(each, was) for each, was in zip(value, said, strict=True)]
    return value


def _read(document: Any) -> Any:
    try:
        return parse_stored(document)
    except SpecError:
        return None


def _part(part: type[Spec]) -> st.SearchStrategy[dict[str, Any]]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in forms.fields(part).items():
        (required if field.required else optional)[name] = _value(field.form)
    return st.fixed_dictionaries(required, optional=optional)


def _value(form: forms.Form) -> st.SearchStrategy[Any]:  # noqa: PLR0911  a form a line
    match form:
        case forms.Part():
            return st.deferred(lambda: _part(form.of))
        case forms.Items():
            return st.lists(_value(form.of), min_size=form.fewest, max_size=_ITEMS)
        case forms.Choice():
            return st.sampled_from(form.words)
        case forms.Flag():
            return st.booleans()
        case forms.Whole():
            return st.integers(form.least or 0, 2**31 if form.most is None else form.most)
        case forms.Text():
            return _text(form)
        case _:
            return st.dictionaries(st.sampled_from(_POD), _JUNK)


def _text(form: forms.Text) -> st.SearchStrategy[str]:
    longest = 20 if form.longest is None else form.longest
    shape = form.shape
    if shape is None:
        return st.text(max_size=min(longest, 20))
    text = st.from_regex(shape.pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
    return text.filter(lambda each: len(each) <= longest and shape.holds(each))
