"""How long a replica takes to start is learnt from how many are asked for and how many serve."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.scaling.policy import decide
from hybrid_operator.core.scaling.starts import LEAST, MOST, NONE_SEEN, Starts
from hybrid_operator.core.scaling.types import Policy, Sample
from hybrid_operator.core.scaling.window import Window, observe

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def looked(*looks: tuple[int, int, int], known: Starts = NONE_SEEN) -> float:
    """Return what a start takes after looks: seconds, replicas asked for, and ready."""
    time = 0.0
    for seconds, replicas, ready in looks:
        known = known.after(time, replicas, ready)
        time += seconds
    return known.seconds


SEEN = [
    pytest.param([(60, 1, 1)] * 9, 0.0, id="nothing starts"),
    pytest.param([(60, 0, 0), (60, 1, 0), (60, 1, 0), (60, 1, 1)], 120.0, id="one that started"),
    pytest.param([(60, 1, 0), (60, 1, 0), (60, 1, 1)], 0.0, id="when it was asked for is unknown"),
    pytest.param(
        [(60, 1, 1), (60, 2, 1), (60, 3, 1), (60, 3, 2), (60, 3, 3)],
        120.0,
        id="each counts from when it was asked for",
    ),
    pytest.param(
        [(60, 0, 0), (60, 1, 0), (60, 1, 1), *[(60, 2, 1)] * 5, (60, 2, 2)],
        60 + 0.3 * (300 - 60),
        id="the next one counts for three tenths",
    ),
    pytest.param(
        [(60, 0, 0), (60, 1, 0), (60, 0, 0), (60, 1, 1)], 0.0, id="one that was taken back"
    ),
    pytest.param([(60, 2, 2), (60, 2, 1), (60, 2, 2)], 0.0, id="one that was repaired is no start"),
    pytest.param([(60, 0, 0), *[(60, 1, 0)] * 60, (60, 1, 1)], 0.0, id="an hour's wait for a GPU"),
    pytest.param([(3, 0, 0), (3, 1, 0), (3, 1, 1)], 0.0, id="three seconds are a lie"),
]


@pytest.mark.parametrize(("looks", "seconds"), SEEN)
def test_a_start_is(looks: list[tuple[int, int, int]], seconds: float):
    assert looked(*looks) == pytest.approx(seconds)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_whatever_is_told_a_start_is_none_or_within_bounds(looks: list[tuple[int, int, int]]):
    seconds = looked(*looks)
    assert seconds == 0 or LEAST <= seconds <= MOST


def test_a_forecast_looks_as_far_ahead_as_a_start_takes():
    policy = Policy(least=1, most=4, forecast=True)
    window = Window()
    for day in (0, 1):
        busy = Sample(60.0, 3.0 - day * 2.9, replicas=4, ready=4)
        window = observe(window, busy, policy, NOON + timedelta(days=day))
    early = NOON + timedelta(days=2, minutes=-8)
    calm = Sample(600.0, 0.1, replicas=1, ready=1)
    window = replace(observe(window, calm, policy, early), recent=())
    assert decide(window, policy, early).reason == "Demand"
    slow = replace(window, starts=Starts(600.0))
    assert decide(slow, policy, early).reason == "Forecast"
