"""Which lines of a page are read, and as what."""

from __future__ import annotations

from itertools import permutations

import pytest

from hybrid_operator.metrics.samples import Page, Sample

PAGE = [
    pytest.param('a_total{x="1",y="2"} 3.0', [("a_total", {"x": "1", "y": "2"}, 3.0)], id="labels"),
    pytest.param("b 1e3", [("b", {}, 1000.0)], id="a number alone"),
    pytest.param("b 4 1700000000000", [("b", {}, 4.0)], id="with the time"),
    pytest.param("b 4\n", [("b", {}, 4.0)], id="the last line"),
    pytest.param('b{x="}, {"} 4', [("b", {"x": "}, {"}, 4.0)], id="brackets in a label"),
    pytest.param("# TYPE b gauge\n# b 1\nb 4", [("b", {}, 4.0)], id="comments are not"),
    pytest.param("b_total 1\nba 1\n b 1\na_total_created 1", [], id="nor is what sounds like it"),
    pytest.param("", [], id="nothing"),
]


@pytest.mark.parametrize(("page", "found"), PAGE)
def test_a_line_that_is_asked_for_is_read(page, found):
    assert list(Page(page).samples("a_total", "b")) == [Sample(*each) for each in found]


BAD = [
    pytest.param("b", "'b' is not a sample", id="no value"),
    pytest.param('b{x="1" 4', "is not a sample", id="a label that does not end"),
    pytest.param("b NaN", "b is NaN", id="no number"),
    pytest.param("b four", "b is four", id="a word"),
    pytest.param("b -1", "b is -1", id="below zero"),
    pytest.param("b +Inf", "b is [+]Inf", id="without end"),
]


@pytest.mark.parametrize(("page", "message"), BAD)
def test_a_line_that_counts_nothing_is_refused(page, message):
    with pytest.raises(ValueError, match=message):
        list(Page(page).samples("a_total", "b"))


BUCKETS = [
    pytest.param('h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3', id="le alone"),
    pytest.param('h_bucket{a="x",le="1",z="y"} 2\nh_bucket{a="x",le="+Inf",z="y"} 3', id="between"),
    pytest.param('h_bucket{a="x",le="1"} 2\nh_bucket{a="x",le="+Inf"} 3', id="last"),
    pytest.param('h_bucket{le="1",z="y"} 2\nh_bucket{le="+Inf",z="y"} 3', id="first"),
    pytest.param('h_bucket{a="\\"",le="1"} 2\nh_bucket{a="\\"",le="+Inf"} 3', id="escapes"),
    pytest.param('h_bucket{le="1"} 2 17\nh_bucket{le="+Inf"} 3 17', id="with the time"),
    pytest.param(
        'h_bucket{e="0",le="1"} 1\nh_bucket{e="0",le="+Inf"} 1\nh_count{e="0"} 1\n'
        'h_bucket{e="1",le="1"} 1\nh_bucket{e="1",le="+Inf"} 2\nh_count{e="1"} 2',
        id="of two, added up",
    ),
]


@pytest.mark.parametrize("page", BUCKETS)
def test_buckets_are_read_wherever_their_bound_stands(page):
    page = f"# TYPE h histogram\n{page}\n# HELP i Another.\ni 9"
    assert Page(page).buckets("h_bucket") == {1.0: 2.0, float("inf"): 3.0}


def test_metrics_are_found_in_any_order_of_asking():
    text = "".join(
        f"# HELP {name} Text.\n# TYPE {name} gauge\n{name} {ord(name)}\n" for name in "abc"
    )
    for order in permutations("abc"):
        page = Page(text)
        assert [page.values(name) for name in order] == [[float(ord(name))] for name in order]
    assert Page(text).values("d") == []
