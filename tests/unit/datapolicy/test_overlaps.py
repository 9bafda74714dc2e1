"""Of findings that overlap, the surest stays; of equals, the longest."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.datapolicy.overlaps import Candidate, resolved
from hybrid_router.datapolicy.scanner import Scanner
from hybrid_router.datapolicy.triggers import windows

SCANNER = Scanner(["email", "payment-card"])


def chosen(candidates):
    """Return what stays, as it is meant: the best first, each that is in nobody's way."""
    taken: list[Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.rank, c.start - c.end, c.start)):
        if all(each.start >= t.end or t.start >= each.end for t in taken):
            taken.append(each)
    return sorted(taken, key=lambda t: t.start)


CANDIDATES = st.lists(
    st.builds(
        lambda start, size, rank: Candidate(str(rank), start, start + size, rank),
        st.integers(0, 60),
        st.integers(1, 12),
        st.integers(1, 3),
    ),
    max_size=24,
    unique_by=lambda c: (c.rank, c.end - c.start, c.start),
)


@given(CANDIDATES)
def test_the_surest_and_longest_stay(candidates):
    assert resolved(list(candidates)) == chosen(candidates)


@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=40), st.integers(0, 99), st.integers(0, 99)
)
def test_every_trigger_is_looked_around_and_no_place_twice_by_one_detector(ends, back, ahead):
    made = windows(sorted(ends), back, ahead)
    for end in ends:
        assert any(w[0] <= max(0, end - back) and end + ahead <= w[1] for w in made)
    for before, after in pairwise(made):
        assert before[1] < after[0]


@pytest.mark.parametrize(
    ("piece", "types"),
    [
        ("аdmin@exаmple.org ", {"email"}),  # noqa: RUF001  look-alikes
        ("４１１１ 1111 1111 1111\n\n", {"payment-card"}),  # noqa: RUF001  full width
    ],
)
def test_places_in_a_long_text_that_is_read_as_it_looks_are_right(piece, types):
    text = "é " + piece * 300
    spans = SCANNER.scan(text)
    size = len(piece)
    assert [(span.start - 2) // size for span in spans] == list(range(300))
    assert {text[span.start : span.end] for span in spans} == {
        piece[: spans[0].end - spans[0].start]
    }
    assert {span.type for span in spans} == types


def test_a_log_full_of_addresses_is_scanned_to_its_end():
    # 40,000 findings: where each is held against all others, this takes minutes.
    log = "".join(f"{i} from 10.0.{i % 255}.{i % 251}\n" for i in range(40_000))
    assert len(Scanner(["ipv4"]).scan(log)) == 40_000


def test_keys_that_begin_again_and_again_and_never_end_are_read_once():
    # Where a space could be read in two ways, the second beginning took for ever.
    text = f"{'-' * 5}BEGIN PRIVATE KEY{'-' * 5}\nMIIE" * 40
    assert {span.type for span in Scanner(["private-key"]).scan(text)} == {"private-key"}
