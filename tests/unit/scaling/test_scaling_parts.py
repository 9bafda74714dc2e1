"""Capacity that is learnt, and GPUs that are shared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.scaling.arbitrate import Demand, arbitrate
from hybrid_operator.core.scaling.capacity import Capacity, learn, seeded

SEED = seeded(8000.0, 1000.0)


def taught(rates: list[tuple[float, float]], *, saturated: bool = True) -> Capacity:
    found = SEED
    for prompt, generated in rates:
        found = learn(found, prompt, generated, saturated=saturated)
    return found


def test_two_mixes_tell_prefill_and_decode_apart():
    true = seeded(5000.0, 1500.0)
    mixes = [(0.9, 0.1), (0.2, 0.8), (0.5, 0.5)] * 60
    found = taught([(a * true.prefill, b * true.decode) for a, b in mixes])
    assert found.prefill == pytest.approx(5000, rel=0.05)
    assert found.decode == pytest.approx(1500, rel=0.05)


LEFT_ALONE = [
    pytest.param((0.0, 0.0), True, id="an idle sample says nothing"),
    pytest.param((4000.0, 100.0), False, id="one that was not saturated says nothing"),
    pytest.param((8e9, 1e9), True, id="one that is far too high is not believed"),
    pytest.param((80.0, 1.0), True, id="one that is far too low is not believed"),
    pytest.param((float("nan"), 1.0), True, id="one that is not a number is not believed"),
    pytest.param((float("inf"), 1.0), True, id="an infinite one is not believed"),
]


@pytest.mark.parametrize(("rates", "saturated"), LEFT_ALONE)
def test_capacity_is_left_alone(rates, saturated):
    assert taught([rates], saturated=saturated) == SEED


def test_one_odd_sample_moves_it_by_less_than_a_tenth():
    found = taught([(3000.0, 300.0)])
    assert found.tokens_per_s(4000, 500) == pytest.approx(SEED.tokens_per_s(4000, 500), rel=0.08)


def test_a_replica_that_does_more_than_it_should_is_believed_although_nothing_waits():
    found = taught([(8000.0, 1000.0)] * 40, saturated=False)
    assert found.work(8000, 1000) == pytest.approx(1, rel=0.05)


def model(key: str, wanted: int, **fields: object) -> Demand:
    given: dict[str, object] = {"gpu": "a10g", "gpus": 1, "least": 0, "wanted": wanted}
    return Demand(key, **given | fields)  # type: ignore[arg-type]


SHARED = [
    pytest.param([model("a", 3)], {}, {"a": 3}, id="an unknown type is unbounded"),
    pytest.param([model("a", 3)], {"a10g": 2}, {"a": 2}, id="a pool bounds"),
    pytest.param(
        [model("a", 9), model("b", 9)], {"a10g": 6}, {"a": 3, "b": 3}, id="equals share evenly"
    ),
    pytest.param(
        [model("a", 9, weight=2.0), model("b", 9)], {"a10g": 6}, {"a": 4, "b": 2}, id="by weight"
    ),
    pytest.param(
        [model("a", 9, priority=1), model("b", 9)], {"a10g": 6}, {"a": 6, "b": 0}, id="by priority"
    ),
    pytest.param(
        [model("a", 9, gpus=4), model("b", 9)], {"a10g": 6}, {"a": 1, "b": 2}, id="by GPUs"
    ),
    pytest.param(
        [model("a", 9), model("b", 9, least=5)], {"a10g": 6}, {"a": 1, "b": 5}, id="min comes first"
    ),
    pytest.param(
        [model("a", 2, current=0), model("b", 2, current=1)],
        {"a10g": 1},
        {"a": 0, "b": 1},
        id="who has the last replica keeps it",
    ),
    pytest.param(
        [model("a", 2), model("b", 2, gpu="l4")], {"a10g": 1, "l4": 9}, {"a": 1, "b": 2}, id="types"
    ),
    pytest.param(
        [model("a", 4, quota="one/gpu"), model("b", 4, quota="two/gpu")],
        {"a10g": 6, "one/gpu": 1},
        {"a": 1, "b": 4},
        id="a quota bounds its namespace, the pool both",
    ),
    pytest.param(
        [model("a", 4, quota="one/gpu", gpus=2)], {"one/gpu": 5}, {"a": 2}, id="a quota counts GPUs"
    ),
]


@pytest.mark.parametrize(("demands", "gpus", "granted"), SHARED)
def test_gpus_are_shared(demands, gpus, granted):
    assert arbitrate(tuple(demands), gpus) == granted


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 9), st.integers(0, 3), st.integers(0, 2)),
        max_size=6,
    ),
    st.integers(0, 20),
)
def test_no_pool_is_overdrawn_and_nobody_gets_more_than_it_wants(rows, size):
    demands = tuple(
        model(str(i), wanted, gpus=gpus, least=least, priority=priority)
        for i, (gpus, wanted, least, priority) in enumerate(rows)
    )
    granted = arbitrate(demands, {"a10g": size})
    assert sum(granted[each.key] * each.gpus for each in demands) <= size
    assert all(granted[each.key] <= each.wanted for each in demands)
