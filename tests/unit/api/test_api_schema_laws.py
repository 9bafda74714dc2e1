"""What the schema admits, the types read, and nothing gets lost on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_operator.api import base, datapolicy, models, providers, resource, routing
from hybrid_operator.api.base import Shape
from hybrid_operator.api.crd import crd
from hybrid_operator.api.read import parse_stored
from tests.support.specs import as_said

SPEC = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
SHAPES = {
    value.message: value
    for module in (base, datapolicy, models, providers, resource, routing)
    for value in vars(module).values()
    if isinstance(value, Shape)
}
EXAMPLES = {
    base.DURATION: ["90s", "1h30m", "24h"],
    base.QUANTITY: ["4Gi", "0.5Mi"],
    base.RELATIVE_PATH: ["", "a/b"],
    base.ABSOLUTE_PATH: ["/a/b"],
    base.TIME_ZONE: ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"],
}
"""Of shapes that a regular expression alone does not tell."""


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for what a structural schema admits; lists and maps stay short."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return st.sampled_from([1, "500m", "2Gi"])
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return st.just({"anything": [1, None]})
    return BY_TYPE[schema["type"]](schema)


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    rules = schema.get("x-kubernetes-validations")
    if rules is None:
        return st.text(max_size=min(schema["maxLength"], 8))
    shape = SHAPES[rules[0]["message"]]
    if shape in EXAMPLES:
        return st.sampled_from(EXAMPLES[shape])
    drawn = st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True)
    return drawn.filter(lambda text: len(text) <= schema["maxLength"])


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "additionalProperties" in schema:
        inner = values(schema["additionalProperties"])
        return st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    fields = {name: values(each) for name, each in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


BY_TYPE = {
    "boolean": lambda _: st.booleans(),
    "integer": lambda s: st.integers(s.get("minimum", 0), s.get("maximum", 2**62)),
    "string": _text,
    "array": lambda s: st.lists(values(s["items"]), min_size=s.get("minItems", 0), max_size=2),
    "object": _object,
}


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=values(SPEC))
def test_whatever_the_schema_admits_is_read_and_kept(spec: dict[str, Any]):
    read = parse_stored(spec)

    assert as_said(read, spec) == spec
    assert parse_stored(json.loads(msgspec.json.encode(read))) == read
