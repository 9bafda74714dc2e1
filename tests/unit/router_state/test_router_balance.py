"""Power of two choices: never the more loaded of the two, never the same one twice."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.balance import power_of_two


@dataclass
class Loaded:
    outstanding: int


_loads = st.lists(st.integers(min_value=0, max_value=1_000), max_size=8)
_draws = st.lists(st.floats(min_value=0, max_value=1, exclude_max=True), min_size=2, max_size=2)


def test_no_replica_is_no_choice() -> None:
    assert power_of_two([], lambda: 0.0) is None


@given(_loads, _draws)
def test_the_chosen_one_is_never_the_most_loaded_of_several(
    loads: list[int], draws: list[float]
) -> None:
    replicas = [Loaded(load) for load in loads]
    chosen = power_of_two(replicas, iter(draws).__next__)
    if len(replicas) > 1:
        assert chosen is not None
        others = [r for r in replicas if r is not chosen]
        assert any(other.outstanding >= chosen.outstanding for other in others)


@given(st.integers(0, 500), st.integers(0, 500), _draws)
def test_of_two_replicas_the_less_loaded_one_is_always_taken(
    one: int, other: int, draws: list[float]
) -> None:
    chosen = power_of_two([Loaded(one), Loaded(other)], iter(draws).__next__)
    assert chosen is not None
    assert chosen.outstanding == min(one, other)


def test_equal_loads_are_shared_by_the_draw() -> None:
    replicas = [Loaded(0), Loaded(0), Loaded(0)]
    chosen = {id(power_of_two(replicas, iter((x / 3, 0.0)).__next__)) for x in range(3)}
    assert len(chosen) == 3
