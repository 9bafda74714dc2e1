"""What a client is told of a body that is not JSON: the true reason, and where."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.openai.body import take_apart, typed
from hybrid_router.openai.errors import ApiError

LONE = "the body is not JSON: invalid \\u escape: lone surrogate (byte {})"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(rb'{"a":"\ud800"}', LONE.format(6), id="a first half at the end"),
        pytest.param(rb'{"a":"\uD83d and more"}', LONE.format(6), id="a first half before text"),
        pytest.param(rb'{"a":"\ud800\u0041"}', LONE.format(6), id="a first half, another escape"),
        pytest.param(rb'{"a":"\ud800\ud800\udc00"}', LONE.format(6), id="a first half, a pair"),
        pytest.param(rb'{"a":"\udc00 b"}', LONE.format(6), id="a second half"),
        pytest.param(rb'{"a":"\\\udbff"}', LONE.format(8), id="behind an escaped backslash"),
        pytest.param(rb'{"a":"\ud83d\ude00\udc00"}', LONE.format(18), id="a half behind a pair"),
        pytest.param(
            rb'{"a":"\ud8"}',
            "the body is not JSON: invalid character in unicode escape (byte 11)",
            id="half an escape",
        ),
        pytest.param(
            rb'{"a":"\\ud800', "the body is not JSON: Input data was truncated", id="a cut body"
        ),
        pytest.param(
            rb'{"a":"\ud83d\ude00', "the body is not JSON: Input data was truncated", id="cut, too"
        ),
    ],
)
def test_the_reason_and_its_place_are_told(body, said):
    with pytest.raises(ApiError) as caught:
        take_apart(body)
    assert (caught.value.status, caught.value.message) == (400, said)


def test_a_field_that_is_read_later_says_the_same():
    with pytest.raises(ApiError) as caught:
        typed(msgspec.Raw(rb'["\ud800"]'), list[str], "stop")
    assert caught.value.message == (
        "`stop` is not JSON: invalid \\u escape: lone surrogate (byte 2)"
    )


@given(st.text(), st.characters(categories=["Cs"]), st.text())
def test_half_a_character_is_found_wherever_it_stands(before, half, after):
    take_apart(json.dumps({"a": before + after}).encode())
    start = json.dumps({"a": before})
    with pytest.raises(ApiError) as caught:
        take_apart(json.dumps({"a": before + half + after}).encode())
    assert caught.value.message == LONE.format(len(start) - 2)
