"""What is remembered of the hours of a day, and how it comes back from its text."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.scaling.profile import (
    LARGEST,
    SLOTS,
    SMALLEST,
    Profile,
    expected,
    noted,
    pack,
    unpack,
)

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def days(*demands: float, at: datetime = NOON) -> Profile:
    """Return what is known after so many days with these demands at noon, and none at one."""
    profile: Profile = ()
    for day, demand in enumerate(demands):
        now = at + timedelta(days=day)
        profile = noted(profile, demand, now)
        profile = noted(profile, 0.0, now + timedelta(hours=1))
    return profile


@pytest.mark.parametrize(
    ("demands", "next_day"),
    [
        pytest.param([3.0], 3.0, id="one day says all"),
        pytest.param([3.0, 1.0], 2.0, id="the last day counts for a half"),
        pytest.param([8.0, 4.0, 2.0], 4.0, id="and the one before for a quarter"),
        pytest.param([0.0, 2.0], 2.0, id="a day without demand is as none"),
    ],
)
def test_the_next_day(demands: list[float], next_day: float):
    profile = days(*demands)
    tomorrow = NOON + timedelta(days=len(demands))
    kept = unpack(pack(profile, tomorrow - timedelta(hours=3)))
    profile = noted(profile, 0.0, tomorrow)  # which day it is, it learns only now
    assert expected(profile, tomorrow, 0.0) == pytest.approx(next_day)
    assert expected(kept, tomorrow, 0.0) == pytest.approx(next_day, rel=0.04)
    assert expected(kept, tomorrow - timedelta(seconds=60), 90.0) == pytest.approx(
        next_day, rel=0.04
    )
    assert expected(kept, tomorrow - QUARTER, 90.0) == 0.0


def test_the_quarter_under_way_counts_once_although_it_is_noted_before_and_after_a_restart():
    profile = noted(days(4.0), 2.0, NOON + timedelta(days=1))
    kept = unpack(pack(profile, NOON + timedelta(days=1)))
    kept = noted(kept, 2.0, NOON + timedelta(days=1, minutes=5))
    kept = noted(kept, 0.0, NOON + timedelta(days=2))
    assert expected(kept, NOON + timedelta(days=2), 0.0) == pytest.approx(3.0, rel=0.04)


@given(st.lists(st.floats(SMALLEST, LARGEST), min_size=SLOTS, max_size=SLOTS))
def test_what_is_read_is_what_was_written_in_at_most_160_characters(demands: list[float]):
    profile: Profile = ()
    for slot, demand in enumerate(demands):
        profile = noted(profile, demand, NOON + slot * QUARTER)
    text = pack(profile, NOON)
    assert len(text) <= 160
    read = unpack(text)
    for slot, demand in enumerate(demands):
        assert expected(read, NOON + slot * QUARTER, 0.0) == pytest.approx(demand, rel=0.04)


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(-(10**8), 10**8)), min_size=1, max_size=40))
def test_a_clock_that_jumps_makes_no_more_of_it_than_was_seen(looks: list[tuple[float, int]]):
    profile: Profile = ()
    for demand, jump in looks:
        profile = noted(profile, demand, NOON + timedelta(seconds=jump))
    profile = unpack(pack(profile, NOON))
    most = max((expected(profile, NOON + slot * QUARTER, 0.0) for slot in range(SLOTS)), default=0)
    assert most <= 1.04 * max(demand for demand, _ in looks)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("what is this?", id="no base64"),
        pytest.param("AAAA", id="nothing compressed"),
        pytest.param(base64.b64encode(zlib.compress(b"\1" * 100)).decode(), id="another release"),
        pytest.param(pack(days(1.0), NOON)[:-8] + "AAAAAAA=", id="half of it overwritten"),
        pytest.param("é" * 40, id="not even ASCII"),
    ],
)
def test_a_text_that_is_none_of_ours_is_nothing(text: str):
    assert unpack(text) == ()


def test_a_model_that_was_never_asked_for_anything_takes_no_room():
    assert pack((), NOON) == ""
    assert pack(days(0.0), NOON) == ""
