"""Names are DNS-safe, stable and never the same for two children."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.api.resource import MAX_NAME
from hybrid_operator.core import naming

RFC_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

owners = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?", fullmatch=True)
models = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
anything = st.text(max_size=300)


@given(owners | anything, models | anything)
def test_every_name_is_a_dns_label_that_a_service_may_have(owner, model):
    for name in (naming.router(owner), naming.engine(owner, model)):
        assert len(name) <= 63
        assert RFC_1035.fullmatch(name)


@given(owners | anything, models | anything)
def test_every_label_value_is_one(owner, model):
    selectors = naming.router_selector(owner), naming.engine_selector(owner, model)
    for selector in selectors:
        for value in naming.labels(selector).values():
            assert len(value) <= 63
            assert LABEL_VALUE.fullmatch(value)


@given(st.tuples(owners, models), st.tuples(owners, models))
def test_two_pairs_of_resource_and_model_never_share_a_name(one, other):
    assert (naming.engine(*one) == naming.engine(*other)) == (one == other)


@given(owners, owners, models)
def test_a_router_and_an_engine_never_share_a_name(one, other, model):
    assert naming.router(one) != naming.engine(other, model)


@given(owners, owners)
def test_two_resources_never_share_a_router_or_a_selector(one, other):
    assert (naming.router(one) == naming.router(other)) == (one == other)
    assert (naming.instance(one) == naming.instance(other)) == (one == other)


def test_where_the_parts_are_joined_is_part_of_the_name():
    assert naming.engine("a-b", "c") != naming.engine("a", "b-c")


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        pytest.param("support", "support-router", id="a plain name is used as it is"),
        pytest.param("a" * MAX_NAME, "a" * MAX_NAME + "-router", id="so is the longest allowed"),
        pytest.param("7b", "x-7b-a543ecad-router", id="a Service's name begins with a letter"),
        pytest.param("a.b", "a-b-922b76c7-router", id="a Service's name has no dot"),
    ],
)
def test_a_router_is_found_by_the_name_of_its_resource(owner, expected):
    assert naming.router(owner) == expected


def test_names_stay_as_they_are_for_good():
    # Another name would be another Deployment: every engine would start anew.
    assert naming.engine("support", "llama-3-8b") == "support-llama-3-8b-6b391556"
    assert naming.engine_selector("support", "llama-3-8b") == {
        "app.kubernetes.io/instance": "support",
        "app.kubernetes.io/component": "engine",
        "hybridinference.dev/model": "llama-3-8b",
    }
