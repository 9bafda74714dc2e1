from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.metrics.totals import Counts, Totals, from_status


def test_routers_are_added_up():
    totals = Totals(Counts())
    totals.add("a", Counts(10, 1), older=False)
    totals.add("b", Counts(5, 2), older=False)
    totals.add("a", Counts(12, 4), older=False)
    assert totals.sum == Counts(17, 6)


def test_a_container_that_starts_again_takes_nothing_back():
    totals = Totals(Counts())
    totals.add("a", Counts(100, 10), older=False)
    totals.add("a", Counts(3, 0), older=False)
    assert totals.sum == Counts(103, 10)


def test_a_pod_that_goes_away_takes_nothing_back():
    totals = Totals(Counts())
    totals.add("a", Counts(100, 10), older=False)
    totals.keep(set())
    totals.add("b", Counts(1, 1), older=False)
    assert totals.sum == Counts(101, 11)


def test_after_our_restart_what_the_status_holds_is_not_counted_again():
    totals = Totals(Counts(150, 12))
    totals.add("a", Counts(100, 10), older=True)
    totals.add("b", Counts(50, 2), older=True)
    assert totals.sum == Counts(150, 12)
    totals.add("a", Counts(101, 10), older=True)
    assert totals.sum == Counts(151, 12)


def test_what_was_counted_while_we_were_away_is_counted():
    totals = Totals(Counts(100, 10))
    totals.add("a", Counts(130, 11), older=True)
    assert totals.sum == Counts(130, 11)


def test_a_router_that_started_after_us_counts_in_full():
    totals = Totals(Counts(100, 10))
    totals.add("new", Counts(5, 5), older=False)
    assert totals.sum == Counts(105, 15)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        pytest.param({}, Counts(), id="no status yet"),
        pytest.param({"routing": {"local": 3, "api": 4}}, Counts(3, 4), id="both"),
        pytest.param({"routing": {"local": 3}}, Counts(3, 0), id="one"),
        pytest.param({"routing": "odd"}, Counts(), id="something else"),
    ],
)
def test_seed(status, counts):
    assert from_status(status) == counts


counts = st.builds(Counts, st.integers(0, 1000), st.integers(0, 1000))


@given(counts, st.lists(st.tuples(st.sampled_from("abc"), counts, st.booleans())))
def test_the_sum_never_goes_down(seed, seen):
    totals, last = Totals(seed), seed
    for uid, count, older in seen:
        totals.add(uid, count, older=older)
        assert all(new >= old for new, old in zip(totals.sum, last, strict=True))
        last = totals.sum
