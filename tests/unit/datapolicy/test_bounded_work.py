"""Whatever a text holds, a scan ends: what would take too long counts as found."""

import asyncio
import json
from dataclasses import replace
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from hybrid_router.datapolicy.budget import FEW_PLACES, MOST_PLACES, Budget
from hybrid_router.datapolicy.custom import Custom
from hybrid_router.datapolicy.gate import Gate, WithheldError
from hybrid_router.datapolicy.scanner import BUILT_IN, Forms, Scanner, Span
from hybrid_router.table import TYPES, Backend, DataPolicy
from tests.support.personal_data.floods import OTHERS, flood, units

OUTSIDE = Backend(trust="external", urls=("http://127.0.0.1:1/v1",))
POLICY = DataPolicy(redact=("email",), refuse=("ipv4",))
SCANNER = Scanner(TYPES)
SIZE = 16 * 1024
FLOODS = {name: unit for name, unit in units() if name not in OTHERS} | OTHERS
"""One of each detector's, and all those that somebody thought of."""
LONG = 300
"""Bytes that a form may read and give back."""


class Counted:
    """A form that counts what it is given, and what it finds there."""

    def __init__(self, form):
        self.form = form
        self.groupindex = form.groupindex
        self.passed = self.found = 0

    def finditer(self, buffer, low, high):
        self.passed += min(high, len(buffer)) - low
        for match in self.form.finditer(buffer, low, high):
            self.found += 1
            yield match


@pytest.fixture(scope="module")
def counted():
    """The built-in detectors, with forms that count."""
    forms = Forms(TYPES)
    for index, detector in enumerate(forms._detectors):
        form: Any = Counted(detector.form)
        forms._detectors[index] = replace(detector, form=form)
    return forms


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_passed_over_once_and_judged_no_oftener_than_places_are_allowed(counted, unit):
    text = flood(unit, SIZE)
    for detector in counted._detectors:
        detector.form.passed = detector.form.found = 0
    budget = Budget(FEW_PLACES)
    counted.find(f"\n{text}\n".encode(), budget, ascii_only=False, depth=0)
    for detector in counted._detectors:
        assert detector.form.passed <= SIZE + 2, detector.type
        assert detector.form.found <= FEW_PLACES + 1, detector.type


@pytest.mark.parametrize("detector", BUILT_IN, ids=lambda d: d.type)
def test_a_form_gives_back_nothing_long_that_it_has_read(detector):
    # Tried again from the next place on, that is what took seconds.
    assert not list(_given_back(_parser.parse(detector.form.pattern)))


def _given_back(tree):
    """Yield the repetitions that read a long way and may have to go back."""
    for op, value in tree:
        if str(op) in {"MAX_REPEAT", "MIN_REPEAT"} and value[1] > LONG:
            yield value
        for part in value if isinstance(value, tuple) else ():
            for each in part if isinstance(part, list) else [part]:
                if isinstance(each, _parser.SubPattern):
                    yield from _given_back(each)


@pytest.mark.parametrize(
    ("types", "custom", "unit", "kinds"),
    [
        pytest.param(["ipv4"], None, "1.2.3.4 ", {"ipv4"}, id="addresses"),
        pytest.param(["email"], None, "a@b.example ", {"email"}, id="mail"),
        pytest.param(["email", "ipv4"], None, "a@b.example ", {"email"}, id="of two types one"),
        pytest.param(["jwt"], None, "%40 ", {"jwt"}, id="escapes hide anything"),
        pytest.param(["jwt"], None, "раypаl ", {"jwt"}, id="look-alikes too"),  # noqa: RUF001
        pytest.param(["jwt"], None, "YWJj" * 8 + " ", {"jwt"}, id="and base64"),
        pytest.param([], Custom({"own": "x"}, {}), "x", {"own"}, id="an own pattern"),
        pytest.param([], Custom({"own": "x*"}, {}), "y", {"own"}, id="a pattern of nothing"),
        pytest.param([], Custom({}, {"own": ["x"]}), "x ", {"own"}, id="an own word"),
    ],
)
def test_what_is_not_looked_for_to_the_end_counts_as_found(types, custom, unit, kinds):
    scanner = Scanner(types, custom)
    assert [s for s in scanner.scan(unit * 40, most=200) if s.start < 0] == []
    nowhere = [span for span in scanner.scan(unit * 40, most=20) if span.start < 0]
    assert nowhere == [Span(kind, -1, -1) for kind in sorted(kinds)]


def test_a_pattern_that_looks_through_the_rest_each_time_is_charged_for_it():
    scanner = Scanner([], Custom({"own": "x.*y|x"}, {}))
    assert len(scanner.scan("x" * 200, most=FEW_PLACES)) == 200
    assert scanner.scan("x" * 200_000, most=FEW_PLACES)[0] == Span("own", -1, -1)
    assert len(scanner.scan("x" * 200_000, most=FEW_PLACES)) < 50


def test_a_text_of_what_may_not_leave_does_not_leave_however_much_there_is_of_it():
    gate = Gate(POLICY)
    body = _body("a@b.example " * (MOST_PLACES + 1))
    clearance = gate.judge(body)
    assert clearance.lengthy
    with pytest.raises(WithheldError, match="too much"):
        clearance.clear(body, OUTSIDE, POLICY)
    refused = gate.judge(_body("1.2.3.4 " * (MOST_PLACES + 1)))
    assert refused.ruling.refused == ("ipv4",)


@pytest.mark.parametrize(
    ("text", "lengthy"),
    [
        pytest.param("write to a@b.example", False, id="one address"),
        pytest.param("write to a@b.example, " * 400, True, id="hundreds of them"),
    ],
)
def test_what_was_redacted_ahead_is_what_would_have_been_redacted(text, lengthy):
    body = _body(text)
    gate = Gate(POLICY)
    clearance = gate.judge(body, FEW_PLACES)
    assert clearance.lengthy is lengthy
    clearance = gate.judge(body)
    sent = clearance.clear(body, OUTSIDE, POLICY).body
    assert b"a@b.example" not in sent
    asyncio.run(clearance.prepare(body, OUTSIDE, anew=False))
    assert clearance.clear(body, OUTSIDE, POLICY).body == sent
    assert clearance.clear(_body("c@d.example"), OUTSIDE, POLICY).body == _body("[EMAIL_1]")


def test_a_translation_that_was_judged_ahead_is_withheld_as_it_would_have_been():
    gate = Gate(POLICY)
    clearance = gate.judge(_body("hello"))
    body = _body("from 10.1.2.3")
    asyncio.run(clearance.prepare(body, OUTSIDE, anew=True))
    with pytest.raises(WithheldError, match="refused"):
        clearance.clear(body, OUTSIDE, POLICY, anew=True)


def _body(text):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
