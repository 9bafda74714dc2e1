"""What the generator makes of types, and what it refuses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from hybrid_operator.api.base import ATOMIC, MAP_BY_NAME, Shape, Spec, rule
from hybrid_operator.api.structural import RefusedError, structural

Text = Annotated[str, Meta(max_length=10)]


class Named(Spec, frozen=True, kw_only=True):
    """A thing with a name."""

    name: Text
    """Its name."""


class Nameless(Spec, frozen=True, kw_only=True):
    """A thing whose name may be missing."""

    name: Text = ""
    """Its name."""


def _field(annotation: Any, *default: Any, doc: str = "What it is.") -> type[Spec]:
    described = Annotated[annotation, Meta(description=doc)]
    docs = {"__doc__": "A part."}
    part = msgspec.defstruct("Part", [("x", described, *default)], bases=(Spec,), namespace=docs)
    assert issubclass(part, Spec)
    return part


class Endless(Spec, frozen=True, kw_only=True):
    """Holds itself."""

    inner: Endless | None = None
    """The same again."""


class Empty(Spec, frozen=True, kw_only=True):
    """Holds nothing."""


REFUSED = [
    pytest.param(
        _field(Text | int),
        "spec.x: is a union; only Optional can be said in a CRD",
        id="a union of two types",
    ),
    pytest.param(_field(float), "spec.x: is a float; write decimals as strings", id="a float"),
    pytest.param(
        _field(Any),
        "spec.x: has no type; say whether it is text, a number or a part",
        id="anything at all",
    ),
    pytest.param(
        _field(str),
        "spec.x: is a string without max_length, which makes CEL rules too costly",
        id="a string of any length",
    ),
    pytest.param(
        _field(Text, doc=""),
        "spec.x: has no description; write a docstring below it",
        id="a field that nobody described",
    ),
    pytest.param(
        _field(Annotated[list[Text], Meta(extra_json_schema=ATOMIC)]),
        "spec.x: is a list without max_length, which makes CEL rules too costly",
        id="a list of any length",
    ),
    pytest.param(
        _field(Annotated[list[Text], Meta(max_length=3)]),
        "spec.x: is a list without a list type: MAP_BY_NAME, SET or ATOMIC",
        id="a list without a list type",
    ),
    pytest.param(
        _field(Annotated[list[Any], Meta(max_length=3, extra_json_schema=ATOMIC)]),
        "spec.x[]: has no type; say whether it is text, a number or a part",
        id="a list of anything",
    ),
    pytest.param(
        _field(Annotated[list[str], Meta(max_length=3, extra_json_schema=ATOMIC)]),
        "spec.x[]: is a string without max_length, which makes CEL rules too costly",
        id="a list of strings of any length",
    ),
    pytest.param(
        _field(Annotated[list[Nameless], Meta(max_length=3, extra_json_schema=MAP_BY_NAME)]),
        "spec.x: is a map by keys that its items are not required to have",
        id="a list by a name that an entry may lack",
    ),
    pytest.param(
        _field(dict[str, Text]),
        "spec.x: is a map without max_length, which makes CEL rules too costly",
        id="a map of any size",
    ),
    pytest.param(
        _field(Annotated[dict[str, Named], Meta(max_length=3)]),
        "spec.x: is a map of something other than strings; use a list with names",
        id="a map of objects",
    ),
    pytest.param(
        _field(dict[str, Any]),
        "spec.x: is an object without fields",
        id="an object that is not said to be kept as it is",
    ),
    pytest.param(_field(Empty), "spec.x: is an object without fields", id="an empty object"),
    pytest.param(
        Endless, "spec.inner: Endless contains itself; a CRD cannot say that", id="a recursive type"
    ),
    pytest.param(
        _field(Annotated[int, Meta(gt=0)]),
        "spec.x: uses gt, which a CRD cannot say",
        id="a bound that is not part of the range",
    ),
    pytest.param(
        _field(Annotated[Text, Meta(pattern="a+")]),
        "spec.x: uses pattern, which a CRD cannot say",
        id="a pattern, whose message would help nobody",
    ),
    pytest.param(
        _field(tuple[Text, int]),
        "spec.x: is a tuple, which a CRD cannot say",
        id="a pair",
    ),
    pytest.param(
        _field(Literal["a", "b"], "a"),
        "spec.x: its description must end in 'Defaults to a.', as its default is that",
        id="a default that the description does not tell",
    ),
    pytest.param(
        _field(Annotated[str, Meta(max_length=3), Shape("a", "")]),
        "spec.x: has a CEL rule without a message, or of several lines",
        id="a rule without a message",
    ),
]


@pytest.mark.parametrize(("part", "sentence"), REFUSED)
def test_what_a_crd_cannot_say_is_refused_with_the_field(part: type[Spec], sentence: str):
    with pytest.raises(RefusedError) as refusal:
        structural(part, "spec")

    assert str(refusal.value) == sentence


class Inner(Spec, frozen=True, kw_only=True):
    """Has a rule."""

    RULES = (rule("self.low <= self.high", "low must not be above high", lambda _: True),)

    low: Annotated[int, Meta(ge=0, le=9)]
    """Lowest."""
    high: int
    """Highest."""


class Whole(Spec, frozen=True, kw_only=True):
    """Everything that a CRD can say."""

    names: Annotated[list[Text], Meta(max_length=3, extra_json_schema=ATOMIC)] = msgspec.field(
        default_factory=list
    )
    """Some names, which
    are told on two lines."""
    inner: Inner | None = None
    """Where the limits are."""
    one: Literal["a"]
    """Only one."""
    labels: Annotated[dict[str, Text], Meta(max_length=4)] | None = None
    """Labels."""


def test_types_become_a_structural_schema_with_references_written_out():
    assert structural(Whole, "spec") == {
        "description": "Everything that a CRD can say.",
        "type": "object",
        "required": ["one"],
        "properties": {
            "names": {
                "description": "Some names, which are told on two lines.",
                "type": "array",
                "maxItems": 3,
                "x-kubernetes-list-type": "atomic",
                "items": {"type": "string", "maxLength": 10},
            },
            "inner": {
                "description": "Where the limits are.",
                "type": "object",
                "required": ["low", "high"],
                "x-kubernetes-validations": [
                    {"rule": "self.low <= self.high", "message": "low must not be above high"}
                ],
                "properties": {
                    "low": {
                        "description": "Lowest.",
                        "type": "integer",
                        "minimum": 0,
                        "maximum": 9,
                    },
                    "high": {"description": "Highest.", "type": "integer"},
                },
            },
            "one": {"description": "Only one.", "type": "string", "enum": ["a"]},
            "labels": {
                "description": "Labels.",
                "type": "object",
                "maxProperties": 4,
                "additionalProperties": {"type": "string", "maxLength": 10},
            },
        },
    }
