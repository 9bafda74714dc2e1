"""Of findings that overlap, the surest stays; of equals, the longest."""

from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.datapolicy.scanner import Scanner, Span, _Candidate, _resolve


def chosen(candidates):
    """Return what stays, as it is meant: the best first, each that is in nobody's way."""
    taken: list[_Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.rank, c.start - c.end, c.start)):
        if all(each.start >= t.end or t.start >= each.end for t in taken):
            taken.append(each)
    return [Span(t.type, t.start, t.end) for t in sorted(taken, key=lambda t: t.start)]


CANDIDATES = st.lists(
    st.builds(
        lambda start, size, rank: _Candidate(str(rank), start, start + size, rank),
        st.integers(0, 60),
        st.integers(1, 12),
        st.integers(1, 3),
    ),
    max_size=24,
    unique_by=lambda c: (c.rank, c.end - c.start, c.start),
)


@given(CANDIDATES)
def test_the_surest_and_longest_stay(candidates):
    assert _resolve(list(candidates)) == chosen(candidates)


def test_a_log_full_of_addresses_is_scanned_to_its_end():
    # 40,000 findings: where each is held against all others, this takes minutes.
    log = "".join(f"{i} from 10.0.{i % 255}.{i % 251}\n" for i in range(40_000))
    assert len(Scanner(["ipv4"]).scan(log)) == 40_000
