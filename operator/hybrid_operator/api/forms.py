"""What the value of each field must look like, read off the types.

The CRD is made of it, and a document is read by it: msgspec, which then builds the parts, is as
strict, but stops at the first thing that is wrong and tells it in a programmer's words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta

from hybrid_operator.api.base import Problem, Shape, Spec
from hybrid_operator.api.nearest import did_you_mean, nearest
from hybrid_operator.api.pods import AsWritten, ResourceQuantity

MOST = 2**63 - 1
"""What the API server holds."""
_CANNOT_SAY = ("gt", "lt", "multiple_of", "pattern", "tz")


class Form(msgspec.Struct, frozen=True):
    """What a value must look like."""

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`; where `strict`, unknown fields are."""
        raise NotImplementedError


class Field(msgspec.Struct, frozen=True):
    """A field of a part."""

    name: str
    """In Python."""
    form: Form
    required: bool
    nullable: bool
    default: Any
    description: str
    """Where it stands in the type; most stand in a docstring."""


class Text(Form, frozen=True):
    """A string."""

    longest: int | None
    shape: Shape | None
    format: str

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        del strict
        if not isinstance(value, str):
            return [Problem(path, "must be text; put a number, or true and false, in quotes")]
        if self.longest is not None and len(value) > self.longest:
            return [Problem(path, f"must have at most {self.longest} characters")]
        if self.shape is not None and not self.shape.holds(value):
            return [Problem(path, self.shape.message)]
        return () if _is_unicode(value) else [Problem(path, "must be text in Unicode")]


class Whole(Form, frozen=True):
    """A whole number."""

    least: int | None
    most: int | None

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        del strict
        least = -MOST if self.least is None else self.least
        most = MOST if self.most is None else self.most
        if isinstance(value, bool) or not isinstance(value, int):
            return [Problem(path, "must be a whole number, without quotes")]
        if value < least:
            return [Problem(path, f"must be at least {least}")]
        return () if value <= most else [Problem(path, f"must be at most {most}")]


class Flag(Form, frozen=True):
    """Yes or no."""

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        del strict
        if isinstance(value, bool):
            return ()
        return [Problem(path, "must be true or false, without quotes")]


class Choice(Form, frozen=True):
    """One of some words."""

    words: tuple[str, ...]

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        del strict
        if value in self.words:
            return ()
        meant = did_you_mean(str(value), self.words)
        return [Problem(path, f"must be one of {', '.join(self.words)}{meant}")]


class Items(Form, frozen=True):
    """A list."""

    of: Form
    fewest: int
    most: int | None
    extra: Mapping[str, Any]
    """What the CRD says of it besides: its list type."""

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        if not isinstance(value, list):
            return [Problem(path, "must be a list")]
        if self.most is not None and len(value) > self.most:
            return [Problem(path, f"must have at most {self.most} entries")]
        if len(value) < self.fewest:
            return [Problem(path, f"must have at least {self.fewest} entry")]
        found: list[Problem] = []
        for index, each in enumerate(value):
            found += self.of.wrong(each, f"{path}[{index}]", strict=strict)
        return found


class Named(Form, frozen=True):
    """A map of names to values."""

    of: Form
    most: int | None
    extra: Mapping[str, Any]
    """What the CRD says of it besides: whether it may hold anything."""

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        if not isinstance(value, dict):
            return [Problem(path, "must be a mapping of names to values")]
        if self.most is not None and len(value) > self.most:
            return [Problem(path, f"must have at most {self.most} entries")]
        found: list[Problem] = []
        for name, each in value.items():
            found += self.of.wrong(each, f"{path}.{name}", strict=strict)
        return found


class Anything(Form, frozen=True):
    """Whatever JSON can say."""

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        below: Iterable[tuple[str, object]] = ()
        if isinstance(value, dict):
            below = ((f"{path}.{name}", each) for name, each in value.items())
        elif isinstance(value, list):
            below = ((f"{path}[{index}]", each) for index, each in enumerate(value))
        elif not _is_json(value):
            return [Problem(path, "must be text, a number, true, false or null, as JSON has them")]
        return [p for where, each in below for p in self.wrong(each, where, strict=strict)]


class Amount(Form, frozen=True):
    """What Kubernetes calls a quantity."""

    of: ResourceQuantity

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`."""
        del strict
        return () if self.of.holds(value) else [Problem(path, self.of.message)]


class Part(Form, frozen=True):
    """A mapping with the fields of a part."""

    of: type[Spec]

    def wrong(self, value: object, path: str, *, strict: bool) -> Sequence[Problem]:
        """Return what is wrong with the value at `path`; where `strict`, unknown fields are."""
        if not isinstance(value, dict):
            return [Problem(path, "must be a mapping of fields to values")]
        known = fields(self.of)
        found: list[Problem] = []
        for name, field in known.items():
            if name in value:
                each = value[name]
                if each is not None or not field.nullable:
                    found += field.form.wrong(each, f"{path}.{name}", strict=strict)
            elif field.required:
                found.append(Problem(f"{path}.{name}", "is required"))
        if strict and not value.keys() <= known.keys():
            names = {name: name for name in known}
            found += [
                Problem(f"{path}.{name}", unknown_field(name, names))
                for name in value
                if name not in known
            ]
        return found


class Unfit(Form, frozen=True):
    """What no CRD can say; the generator refuses it."""

    why: str


@cache
def fields(part: type[Spec]) -> Mapping[str, Field]:
    """Return the fields of a part, as users write them."""
    return {each.encode_name: _field(each) for each in msgspec.structs.fields(part)}


def _field(info: msgspec.structs.FieldInfo) -> Field:
    members = [each for each in get_args(info.type) if each is not type(None)]
    nullable = type(None) in get_args(info.type) and len(members) == 1
    kind = members[0] if nullable else info.type
    marks = getattr(kind, "__metadata__", ())
    told = (mark.description for mark in marks if isinstance(mark, Meta))
    return Field(
        name=info.name,
        form=_form(kind),
        required=info.required,
        nullable=nullable,
        default=None if info.default is NODEFAULT else info.default,
        description=next((each for each in told if each), ""),
    )


def _form(kind: Any, marks: tuple[object, ...] = ()) -> Form:  # noqa: ANN401  an annotation
    if hasattr(kind, "__metadata__"):
        return _form(kind.__origin__, (*kind.__metadata__, *marks))
    own = next((mark for mark in marks if isinstance(mark, AsWritten | ResourceQuantity)), None)
    if own is not None:
        return Part(own.shape) if isinstance(own, AsWritten) else Amount(own)
    if isinstance(kind, type) and issubclass(kind, Spec):
        return Part(kind)
    metas = [mark for mark in marks if isinstance(mark, Meta)]
    for name in _CANNOT_SAY:
        if _said(metas, name) is not None:
            return Unfit(f"uses {name}, which a CRD cannot say")
    make = _FORMS.get(get_origin(kind) or kind)
    if make is None:
        return Unfit(f"is a {getattr(kind, '__name__', kind)}, which a CRD cannot say")
    return make(kind, metas, marks)


def _text(kind: object, metas: list[Meta], marks: tuple[object, ...]) -> Form:
    del kind
    shape = next((mark for mark in marks if isinstance(mark, Shape)), None)
    more = _said(metas, "extra_json_schema") or {}
    return Text(_said(metas, "max_length"), shape, more.get("format", ""))


def _items(kind: object, metas: list[Meta], marks: tuple[object, ...]) -> Form:
    del marks
    fewest, most = _said(metas, "min_length") or 0, _said(metas, "max_length")
    return Items(_form(get_args(kind)[0]), fewest, most, _said(metas, "extra_json_schema") or {})


def _named(kind: object, metas: list[Meta], marks: tuple[object, ...]) -> Form:
    del marks
    of, most = _form(get_args(kind)[1]), _said(metas, "max_length")
    return Named(of, most, _said(metas, "extra_json_schema") or {})


_FORMS: Mapping[Any, Callable[[Any, list[Meta], tuple[object, ...]], Form]] = {
    str: _text,
    int: lambda _, metas, __: Whole(_said(metas, "ge"), _said(metas, "le")),
    bool: lambda *_: Flag(),
    Literal: lambda kind, *_: Choice(get_args(kind)),
    list: _items,
    dict: _named,
    Any: lambda *_: Anything(),
    float: lambda *_: Unfit("is a float; write decimals as strings"),
    Union: lambda *_: Unfit("is a union; only Optional can be said in a CRD"),
    UnionType: lambda *_: Unfit("is a union; only Optional can be said in a CRD"),
}
"""How a form is made, by the type without its arguments."""


def _said(metas: Iterable[Meta], name: str) -> Any:  # noqa: ANN401  a limit, or a dict
    return next((found for each in metas if (found := getattr(each, name)) is not None), None)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return _is_unicode(value)
    return value is None or isinstance(value, int)


def unknown_field(name: object, known: Mapping[str, str]) -> str:
    """Return the sentence about a field that is not known.

    It names the nearest one that is, in the words of `known`.
    """
    near = nearest(str(name), known)
    return f"unknown field; did you mean {known[near]}?" if near else "unknown field"
