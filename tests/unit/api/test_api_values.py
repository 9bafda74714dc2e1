"""Durations, quantities and the other small languages of the resource."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.api import base, models, providers, resource, routing
from hybrid_operator.api.base import Problem, Shape, duration, quantity_bytes

SHAPES = [
    pytest.param(value, id=name)
    for module in (base, models, providers, resource, routing)
    for name, value in vars(module).items()
    if isinstance(value, Shape)
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1m1m", timedelta(minutes=2)),
        ("24h", timedelta(days=1)),
    ],
)
def test_a_duration_is_read(text: str, expected: timedelta):
    assert duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0s", "15", "15 minutes", "1d", "24h1ms", "-1s", "1.5h", "1s\n"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="such as 90s, 15m or 1h30m"):
        duration(text)


@given(hours=st.integers(0, 23), minutes=st.integers(0, 59), milliseconds=st.integers(1, 999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, milliseconds: int):
    expected = timedelta(hours=hours, minutes=minutes, milliseconds=milliseconds)
    assert duration(f"{hours}h{minutes}m{milliseconds}ms") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512Mi", 512 * 2**20), ("4Gi", 4 * 2**30), ("0.5Ki", 512), ("1.5Ti", 3 * 2**39)],
)
def test_a_quantity_is_read_as_bytes(text: str, expected: int):
    assert quantity_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "4", "4GB", "4G", "4gi", " 4Gi", "4Gi\n", "-4Gi", "1e3Gi"])
def test_decimal_units_and_bare_numbers_are_refused(text: str):
    with pytest.raises(ValueError, match="such as 512Mi or 4Gi"):
        quantity_bytes(text)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pattern_is_one_that_cel_and_python_read_alike(shape: Shape):
    """No quote, no escape, no class or look-around that RE2 or Python lacks."""
    assert not set("'\"\\$^") & set(shape.pattern.replace("[^", ""))
    assert "(?" not in shape.pattern
    assert shape.message.startswith("must be ")


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_lets_a_line_break_through(shape: Shape):
    """Names travel in arguments, headers and labels; `$` of many engines would overlook one."""
    assert not any(
        shape.holds(f"{text}\n") for text in ("a", "1", "0.32", "4Gi", "1s", "a/b", "/a")
    )


@pytest.mark.parametrize(
    ("path", "above", "expected"),
    [
        ("", "spec", "spec: x"),
        ("models[0]", "spec", "spec.models[0]: x"),
        ("[0].name", "spec.models", "spec.models[0].name: x"),
    ],
)
def test_a_problem_tells_its_path_from_the_top(path: str, above: str, expected: str):
    assert str(Problem(path, "x").below(above)) == expected
