"""No class of a policy reaches a backend outside, wherever in whatever body it stands."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.datapolicy.gate import Gate, WithheldError
from hybrid_router.table import TYPES, Backend, DataPolicy
from tests.support.personal_data.sentences import FIELDS
from tests.support.personal_data.values import VALUES

OUTSIDE = Backend(trust="external", urls=("http://127.0.0.1:1/v1",))
MAIL = "jane.doe@example.com"
CARD = "4111111111111111"
POLICY = DataPolicy(redact=("email",), keep_local=("payment-card",))
GATE = Gate(POLICY)
ALL = DataPolicy(keep_local=tuple(sorted(TYPES)))
EVERYTHING = Gate(ALL)
LABELS = {kind: name for fields in FIELDS.values() for kind, name in fields.items()}
"""A word that names each national id; the other types need none."""
NAMES = st.sampled_from(
    ["messages", "content", "text", "input", "system", "arguments", "tools", "x", "role", "data"]
)


def around(value):
    """Return bodies in which `value` stands somewhere, in plain words or as a field's name."""
    leaf = st.sampled_from([value, f"a {value}, b", f'{{"k": "{value}"}}', f"\n{value}\t"])
    inner = st.recursive(
        leaf,
        lambda below: (
            st.tuples(NAMES, below, st.none() | st.booleans() | st.text(max_size=4)).map(
                lambda t: {"a": t[2], t[0]: t[1]}
            )
            | below.map(lambda one: ["hi", one, {"type": "text", "text": "bye"}])
            | leaf.map(lambda text: {text: "name"})
        ),
        max_leaves=6,
    )
    return inner.map(lambda one: {"model": "m", "messages": one})


@settings(deadline=None, max_examples=200)
@given(around(CARD), st.booleans())
def test_what_must_stay_never_leaves(body, ascii_only):
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    with pytest.raises(WithheldError):
        GATE.judge(raw).clear(raw, OUTSIDE, POLICY)


@settings(deadline=None, max_examples=200)
@given(around(MAIL))
def test_what_is_redacted_never_leaves_and_all_of_it_comes_back(body):
    raw = json.dumps(body).encode()
    cleared = GATE.judge(raw).clear(raw, OUTSIDE, POLICY)
    assert MAIL.encode() not in cleared.body
    echoed = json.loads(cleared.restored(cleared.body))
    assert json.dumps(echoed).count(MAIL) == json.dumps(body).count(MAIL)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from(sorted(VALUES.keys() & TYPES)), st.integers(0, 9999))
def test_no_class_that_must_stay_ever_leaves(data, kind, seed):
    value = VALUES[kind](Random(seed))  # noqa: S311  nobody's
    named = f"{LABELS.get(kind, 'password' if kind == 'password' else '')}: {value}"
    raw = json.dumps(data.draw(around(named))).encode()
    clearance = EVERYTHING.judge(raw)
    assert {name for name, _ in clearance.ruling.classes} - {"unscanned"}
    with pytest.raises(WithheldError):
        clearance.clear(raw, OUTSIDE, ALL)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("4111111111111111", id="whole"),
        pytest.param("-4111111111111111", id="negative"),
        pytest.param("4111111111111111.0", id="with a point"),
        pytest.param("4.111111111111111e15", id="with an exponent"),
        pytest.param("41111111111111110E-1", id="with a negative exponent"),
        pytest.param("4000000000000000006", id="of 19 digits"),
        pytest.param("4000000000000000006.0", id="of 19 digits, with a point"),
        pytest.param("4.000000000000000006e+18", id="of 19 digits, with an exponent"),
        pytest.param("4.000000000000000006e00000018", id="of 19 digits, with zeros before it"),
        pytest.param("4000000000000000006.0, NaN", id="beside what is no JSON"),
    ],
)
def test_a_card_that_is_a_number_stays(number):
    raw = f'{{"metadata": [1e300, {number}]}}'.encode()
    with pytest.raises(WithheldError):
        GATE.judge(raw).clear(raw, OUTSIDE, POLICY)


def test_token_ids_of_a_harmless_request_leave_no_more_than_those_of_another():
    raw = b'{"messages": [{"content": "hi"}]}'
    clearance = GATE.judge(raw)
    assert clearance.clear(raw, OUTSIDE, POLICY, anew=True).body == raw
    with pytest.raises(WithheldError):
        clearance.clear(b'{"prompt": [1, 2, 3]}', OUTSIDE, POLICY, anew=True)
