"""Equal parts of many objects are kept once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.kube import share
from hybrid_operator.kube.share import Sharer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=12,
)


def typed(value: Any) -> str:
    """Return a text that tells 1 from true and from 1.0."""
    return json.dumps(value)


@given(st.lists(JSON, max_size=8), st.integers(1, 12))
def test_what_is_shared_is_equal_to_what_was_given(values: list[Any], limit: int):
    sharer = Sharer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "LIMIT", limit)
        assert [typed(sharer(value)) for value in values] == [typed(value) for value in values]
        assert [typed(sharer(value)) for value in values] == [typed(value) for value in values]


def test_equal_parts_are_one():
    sharer = Sharer()
    one, other = (
        sharer(json.loads(f'{{"name": "{name}", "spec": {{"ports": [{{"name": "http"}}]}}}}'))
        for name in ("one", "other")
    )
    assert one is not other
    assert one["spec"] is other["spec"]


def test_it_forgets_before_it_holds_more_than_it_saves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(share, "LIMIT", 100)
    sharer = Sharer()
    for number in range(1000):
        sharer({"name": str(number)})
    assert len(sharer._known) <= 104
