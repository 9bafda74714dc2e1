"""Histograms of many pods: kept small, added up, and read as Prometheus reads them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.metrics.histogram import added, growth, histogram, percentile

COUNTS = st.dictionaries(st.floats(0, 100), st.floats(0, 1e6), max_size=5)


def test_percentiles_are_those_of_prometheus():
    found = histogram({0.1: 0.0, 0.5: 8.0, 1.0: 10.0, math.inf: 10.0})
    assert percentile(found, 0.9) == pytest.approx(0.75)
    assert percentile(histogram({0.5: 0.0, math.inf: 4.0}), 0.9) == 0.5


@pytest.mark.parametrize("nothing", [{}, {0.5: 0.0, math.inf: 0.0}], ids=["no buckets", "no count"])
def test_of_nothing_there_is_no_percentile(nothing):
    assert percentile(histogram(nothing), 0.9) is None


def test_the_order_in_which_buckets_come_does_not_matter():
    assert histogram({math.inf: 3.0, 0.5: 1.0}) == histogram({0.5: 1.0, math.inf: 3.0})


def test_equal_bounds_are_kept_once():
    one, other = histogram({0.25: 1.0, 7.5: 2.0}), histogram({0.25: 5.0, 7.5: 6.0})
    assert one.bounds is other.bounds


GROWTHS = [
    pytest.param({1.0: 3.0}, {1.0: 5.0}, {1.0: 2.0}, id="what came since"),
    pytest.param({1.0: 3.0}, {1.0: 2.0}, {1.0: 0.0}, id="never less than nothing"),
    pytest.param({}, {1.0: 2.0}, {1.0: 2.0}, id="a new histogram began at 0"),
    pytest.param(
        {1.0: 3.0, 4.0: 4.0},
        {2.0: 1.0, 4.0: 6.0},
        {2.0: 1.0, 4.0: 2.0},
        id="other bounds than before",
    ),
]


@pytest.mark.parametrize(("before", "after", "grown"), GROWTHS)
def test_growth_is(before, after, grown):
    assert growth(histogram(before), histogram(after)) == histogram(grown)


@given(COUNTS, COUNTS)
def test_a_sum_has_what_each_had(one, other):
    total = dict(zip(*added([histogram(one), histogram(other)]), strict=True))
    wanted = {bound: one.get(bound, 0.0) + other.get(bound, 0.0) for bound in {*one, *other}}
    assert total == wanted
