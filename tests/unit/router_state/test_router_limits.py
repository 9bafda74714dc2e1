"""Limits per minute and at once: a sliding minute, reservations, and every router's share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.limits import WINDOW_SECONDS, Exceeded, Meter, Window
from hybrid_router.table import KeyLimits

SIXTY = KeyLimits(requests_per_minute=60)
TOKENS = KeyLimits(tokens_per_minute=1000)


@given(st.lists(st.tuples(st.floats(0, 300), st.integers(0, 50)), max_size=60))
def test_a_window_holds_what_was_used_in_the_last_minute(uses):
    window = Window()
    for at, count in sorted(uses):
        window.add(count, at, at)
    now = max((at for at, _ in uses), default=0.0)
    recent = [count for at, count in uses if int(at) > int(now) - WINDOW_SECONDS]
    assert window.used == sum(recent)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 20)), max_size=40), st.integers(1, 50))
def test_after_the_wait_that_a_window_names_it_fits(uses, count):
    window = Window()
    for at, used in sorted(uses):
        window.add(used, at, at)
    now = max((at for at, _ in uses), default=0.0)
    wait = window.wait(count, 50, now)
    assert wait is not None
    assert window.wait(count, 50, now + wait) == 0


def admitted(meter, limits, *, routers, per_second, seconds, tokens=1):
    """Return how many requests of a steady load pass."""
    passed = 0
    for index in range(per_second * seconds):
        try:
            meter.admit(limits, routers, tokens, index / per_second).settle(
                tokens, index / per_second
            )
        except Exceeded:
            continue
        passed += 1
    return passed


@pytest.mark.parametrize("routers", [1, 2, 3, 5])
def test_routers_together_let_a_steady_load_through_as_the_limit_says(routers):
    minutes = 5
    total = sum(
        admitted(Meter(), SIXTY, routers=routers, per_second=4, seconds=60 * minutes)
        for _ in range(routers)
    )
    assert total == pytest.approx(60 * minutes, rel=0.1)


def test_a_limit_below_the_number_of_routers_lets_one_through_at_each():
    one = KeyLimits(requests_per_minute=1)
    assert admitted(Meter(), one, routers=3, per_second=1, seconds=60) == 1


def test_what_was_set_aside_and_not_taken_is_free_again():
    meter = Meter()
    first = meter.admit(TOKENS, 1, 900, 0.0)
    with pytest.raises(Exceeded) as exceeded:
        meter.admit(TOKENS, 1, 200, 1.0)
    assert (exceeded.value.what, exceeded.value.retry_after) == ("tokens", 59.0)
    first.settle(100, 2.0)
    meter.admit(TOKENS, 1, 200, 2.0)  # and does not raise


def test_what_was_taken_beyond_what_was_set_aside_counts():
    meter = Meter()
    meter.admit(TOKENS, 1, 100, 0.0).settle(950, 1.0)
    with pytest.raises(Exceeded):
        meter.admit(TOKENS, 1, 100, 1.0)


def test_a_request_settled_after_its_minute_counts_no_more():
    meter = Meter()
    meter.admit(TOKENS, 1, 900, 0.0).settle(1000, 100.0)
    assert meter.tokens.used == 0


def test_a_request_that_can_never_fit_says_so():
    with pytest.raises(Exceeded) as exceeded:
        Meter().admit(TOKENS, 1, 1001, 0.0)
    assert exceeded.value.retry_after is None


def test_so_many_run_at_once_and_no_more():
    meter, two = Meter(), KeyLimits(concurrency=2)
    first = meter.admit(two, 1, 1, 0.0)
    meter.admit(two, 1, 1, 0.0)
    with pytest.raises(Exceeded) as exceeded:
        meter.admit(two, 1, 1, 0.0)
    assert exceeded.value.what == "concurrency"
    first.settle(1, 0.0)
    meter.admit(two, 1, 1, 0.0)  # and does not raise
