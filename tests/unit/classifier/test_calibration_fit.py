"""From a log to a calibration state: what holds whatever the outcomes are."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.classify.parameters import Point
from hybrid_router.core.calibration import corrected
from hybrid_router.core.cost import Prices
from hybrid_router.outcomes import fit as fitting
from hybrid_router.outcomes.cutting import cheapest
from hybrid_router.outcomes.log import Example, Log, read
from hybrid_router.table import (
    EVERY,
    Map,
    Price,
    TableError,
    decode_calibration,
    encode_calibration,
)
from hybrid_router.telemetry.drift import population_stability

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

INTENTS = ("chat", "maths", "text-to-sql")
examples = st.builds(
    Example,
    request_id=st.uuids().map(str),
    intent=st.sampled_from(INTENTS),
    score=st.floats(0, 1),
    outcome=st.sampled_from([0.0, 0.25, 1.0]),
    weight=st.sampled_from([1.0, 0.5, 0.25]),
    source=st.just("feedback"),
)


@settings(max_examples=60)
@given(st.lists(examples, max_size=60), st.floats(0, 1), st.floats(0, 1))
def test_every_map_is_monotone_and_stays_a_probability(seen, one, other):
    low, high = sorted((one, other))
    maps = fitting.fit_maps(seen)
    for intent in (*INTENTS, "never-seen", None):
        below, above = (corrected(maps, intent, score) for score in (low, high))
        assert 0.0 <= below <= above <= 1.0


@given(st.floats(0, 1))
def test_without_outcomes_every_confidence_stays_as_it_is(score):
    maps = fitting.fit_maps([])
    assert maps == {EVERY: Map()}
    assert corrected(maps, "chat", score) == score


def said(score, outcome, count, intent="chat", start=0):
    return [
        Example(f"{intent}-{start + i}", intent, score, outcome, 1.0, "feedback")
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("bad", "least", "most"),
    [
        pytest.param(3, 0.80, 0.89, id="three bad answers move little"),
        pytest.param(30, 0.45, 0.7, id="thirty count"),
        pytest.param(1000, 0.0, 0.10, id="a thousand speak for themselves"),
    ],
)
def test_what_was_shipped_counts_for_a_hundred_outcomes(bad, least, most):
    maps = fitting.fit_maps(said(0.9, 0.0, bad))
    assert least <= corrected(maps, "chat", 0.9) <= most


def test_what_has_no_intent_is_an_intent_of_its_own():
    seen = read([decision("a", intent=None), outcome("a", score=0.0)]).examples
    maps = fitting.fit_maps(seen * 100)
    assert corrected(maps, None, 0.8) == corrected(maps, "unknown", 0.8) < 0.5


def test_outcomes_of_one_intent_hardly_move_another():
    maps = fitting.fit_maps(said(0.9, 0.0, 1000))
    assert corrected(maps, "text-to-sql", 0.9) > 0.75


def test_a_map_finds_the_truth_where_there_is_much_of_it():
    draw = random.Random(1)  # noqa: S311  a test's own chance
    seen = []
    for i in range(4000):
        score = draw.uniform(0.05, 0.95)
        right = draw.random() < corrected({EVERY: Map(slope=0.5, offset=-0.7)}, None, score)
        seen.append(Example(str(i), "maths", score, float(right), 1.0, "judge"))
    found = fitting.fit_maps(seen)["maths"]
    assert found.slope == pytest.approx(0.5, abs=0.1)
    assert found.offset == pytest.approx(-0.7, abs=0.12)


def log_of(seen, decisions=()):
    return Log("embedded", "0123456789ab", list(decisions), list(seen))


def test_a_state_that_helps_is_one_that_a_router_takes():
    seen = said(0.9, 0.0, 120) + said(0.9, 1.0, 80, start=120)
    fitted = fitting.fit(log_of(seen), None, 0.85, 0.95, "2026-01-01T00:00:00Z")
    held = fitted.state.held_out
    assert fitted.better
    assert held.brier_after < held.brier_before
    assert decode_calibration(encode_calibration(fitted.state)) == fitted.state


def test_outcomes_that_agree_with_the_confidences_are_no_ground_for_a_state():
    calibrated = said(0.6, 1.0, 60) + said(0.6, 0.0, 40, start=60)
    fitted = fitting.fit(log_of(calibrated), None, 0.85, 0.95, "")
    assert not fitted.better
    with pytest.raises(TableError, match="worse than what it replaces on outcomes held out"):
        decode_calibration(encode_calibration(fitted.state))


def decision(request_id, **fields):
    line = {
        "time": 1.0, "request_id": request_id, "surface": "chat", "status": 200, "seconds": 0.1,
        "intent": "chat", "confidence": 0.9, "score": 0.8, "source": "local", "key": "alice",
        "classifier": "embedded", "classifier_model": "m1", "served_model": "llama",
    } | fields  # fmt: skip
    return json.dumps(line)


def outcome(request_id, **fields):
    line = {
        "type": "outcome", "time": 2.0, "request_id": request_id, "source": "feedback",
        "score": 1.0, "side": "local", "key": "alice",
    } | fields  # fmt: skip
    return json.dumps(line)


def test_outcomes_are_joined_by_id_and_key_and_the_last_and_surest_word_counts():
    found = read(
        [
            outcome("a", score=0.0), outcome("a", score=1.0),  # the last word of a source
            "[pod/router-1/router] " + decision("a"),
            decision("b"), outcome("b", key="mallory"),  # not the key that asked
            decision("c"), outcome("c", source="repeat", score=0.0),
            outcome("c", source="repeat", score=None),  # taken back
            decision("d"), outcome("d", source="escalation", score=0.0), outcome("d", score=0.5),
            decision("e", source="api"), outcome("e", side="api", score=0.0),
            decision("f", status=499), outcome("f"),
            decision("g", classifier_model="older"),
            "2026-01-01 12:00:00 INFO serving at http://0.0.0.0:8080", "", "{",
        ]
    )  # fmt: skip
    assert [(e.request_id, e.score, e.outcome, e.source) for e in found.examples] == [
        ("a", 0.8, 1.0, "feedback"), ("d", 0.8, 0.5, "feedback"),
    ]  # fmt: skip
    assert found.api == [0.0]
    assert found.served == ("llama",)
    assert (found.unmatched, found.other, found.unread) == (2, 1, 2)
    assert [d.request_id for d in found.decisions] == ["a", "b", "c", "d", "e"]


def test_the_last_word_is_the_latest_whichever_routers_log_is_read_first():
    later = outcome("a", score=1.0, time=9.0), outcome("b", score=None, time=9.0)
    earlier = outcome("a", score=0.0, time=3.0), outcome("b", score=0.0, time=3.0)
    found = read([decision("a"), decision("b"), *later, *earlier])
    assert [(e.request_id, e.outcome) for e in found.examples] == [("a", 1.0)]


def test_the_curve_of_a_state_is_of_what_was_asked_here():
    decisions = read([decision(str(i), score=(i % 100) / 100) for i in range(1000)]).decisions
    fitted = fitting.fit(log_of([], decisions), None, 0.85, 0.95, "")
    curve = fitted.state.curve
    assert [step.threshold for step in curve] == sorted((s.threshold for s in curve), reverse=True)
    assert (curve[0].local, curve[-1].local) == (0.0, 1.0)
    assert curve[-1].quality == pytest.approx(0.495, abs=0.01)  # the mean confidence
    assert fitted.local == pytest.approx((0.15, 0.15))


def test_while_the_api_is_not_judged_a_quality_keeps_the_share_that_it_had():
    decisions = read([decision(str(i), score=(i % 100) / 100) for i in range(1000)]).decisions
    shipped = [Point(1.0, 1.0, 0.0), Point(0.7, 0.96, 0.3), Point(0.2, 0.8, 0.8)]
    seen = said(0.9, 0.0, 200)
    fitted = fitting.fit(log_of(seen, decisions), None, 0.85, 0.95, "", shipped)
    assert [(s.quality, s.local) for s in fitted.state.curve] == [(1, 0), (0.96, 0.3), (0.8, 0.8)]
    assert fitted.state.curve[1].threshold < 0.7
    assert decode_calibration(encode_calibration(fitted.state)).curve == fitted.state.curve


SHIPPED = [Point(1.0, 1.0, 0.0), Point(0.85, 0.98, 0.2), Point(0.5, 0.9, 0.6), Point(0, 0.7, 1)]
TEMPLATES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@settings(max_examples=60)
@given(TEMPLATES, st.sampled_from([(), SHIPPED]), st.sampled_from([0.0, 1.0, None]))
def test_a_threshold_of_the_curve_takes_the_share_that_it_says(templates, shipped, judged):
    asked = [templates[i % len(templates)] for i in range(240)]
    decisions = read([decision(str(i), score=score) for i, score in enumerate(asked)]).decisions
    seen = said(0.7, judged, 60) if judged is not None else []
    fitted = fitting.fit(log_of(seen, decisions), None, 0.85, 0.95, "", shipped)
    after = [corrected(fitted.state.maps, "chat", score) for score in asked]
    for step in fitted.state.curve[1:]:
        local = [p for p in after if p >= step.threshold]
        assert len(local) / 240 == pytest.approx(step.local, abs=1e-4) or step.threshold == 1.0
        if not shipped:
            quality = (240 - len(local) + sum(local)) / 240
            assert quality == pytest.approx(step.quality, abs=1e-4)


def drafts():
    """Return a cascade's log: sure drafts are right, unsure ones are not; ten tokens each."""
    lines = []
    for number in range(400):
        sure = number % 2
        fields = {
            "classifier": "cascade", "score": 0.9 if sure else 0.1, "prompt_tokens": 100,
            "completion_tokens": 50, "draft": {"logprob": -0.1, "margin": 0.5, "tokens": 10},
        }  # fmt: skip
        lines += [decision(str(number), **fields), outcome(str(number), score=float(sure))]
    return lines


@pytest.mark.parametrize(
    ("local_usd", "quality", "drafts_pay", "local"),
    [
        pytest.param(0.1, 0.95, True, 0.5, id="a cheap local model: the sure drafts stay"),
        pytest.param(0.1, 0.1, True, 1.0, id="any quality will do: all stay"),
        pytest.param(9.0, 0.95, False, 0.0, id="a dear local model: no drafts at all"),
    ],
)
def test_a_cascades_log_gives_the_threshold_at_which_least_is_paid(
    local_usd, quality, drafts_pay, local
):
    log = read(drafts())
    fitted = fitting.fit(log, None, 0.85, quality, "")
    found = cheapest(log, fitted, prices(local_usd), quality)
    assert (found.threshold is not None, found.local) == (drafts_pay, local)
    assert found.quality >= quality


def test_a_log_without_drafts_gives_no_threshold():
    log = read([decision("a", classifier="cascade"), outcome("a")])
    fitted = fitting.fit(log, None, 0.85, 0.95, "")
    with pytest.raises(ValueError, match="no samples"):
        cheapest(log, fitted, prices(0.1), 0.95)


def prices(local_usd):
    return Prices(local=Price(input=local_usd, output=local_usd), api=Price(input=2.0, output=8.0))


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=20))
def test_drift_is_never_below_zero_and_zero_against_itself(histogram):
    assert population_stability(histogram, histogram) == pytest.approx(0.0, abs=1e-12)
    assert population_stability(histogram, histogram[::-1]) >= -1e-12
