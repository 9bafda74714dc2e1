"""Capacity that is learnt, and GPUs that are shared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.scaling.arbitrate import Demand, arbitrate
from hybrid_operator.core.scaling.capacity import Capacity, learn, remembered, seeded

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


ANY = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 20_000)


@given(rates=st.lists(st.tuples(ANY, ANY), max_size=30), saturated=st.booleans())
def test_one_odd_sample_moves_a_rate_by_5_percent_at_most_and_all_of_them_by_a_factor_of_8(
    *, rates: list[tuple[float, float]], saturated: bool
):
    found = SEED
    for prompt, generated in rates:
        before = found
        found = learn(found, prompt, generated, saturated=saturated)
        assert found.prefill == pytest.approx(before.prefill, rel=0.052)
        assert found.decode == pytest.approx(before.decode, rel=0.052)
    assert 8000 / 8 <= found.prefill <= 8000 * 8
    assert 1000 / 8 <= found.decode <= 1000 * 8


def test_a_replica_that_does_more_than_it_should_is_believed_although_nothing_waits():
    found = taught([(8000.0, 1000.0)] * 40, saturated=False)
    assert found.work(8000, 1000) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("factor", [1 / 7, 1 / 3, 3, 7])
def test_what_a_replica_can_do_is_learnt_however_far_it_is_from_the_estimate(factor):
    found = taught([(4000 * factor, 500 * factor)] * 200)
    assert found.work(8000, 1000) == pytest.approx(2 / factor, rel=0.05)


@pytest.mark.parametrize("said", [(1, 1), (10**9, 10**9), (8000, 1)])
def test_a_status_that_says_nonsense_is_mended_by_what_is_seen(said):
    prefill, decode = said
    found = remembered(prefill, decode, SEED)
    for _ in range(200):
        found = learn(found, 4000, 500, saturated=True)
    assert found.work(4000, 500) == pytest.approx(1, rel=0.05)


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


MODELS = st.builds(
    Demand,
    key=st.uuids().map(str),
    gpu=st.just("a10g"),
    gpus=st.integers(1, 4),
    wanted=st.integers(0, 9),
    least=st.integers(0, 3),
    current=st.integers(0, 9),
    priority=st.integers(0, 2),
    weight=st.floats(0.1, 10),
    quota=st.sampled_from(["", "one/gpu", "two/gpu"]),
)
ASKED = st.lists(MODELS, max_size=6).map(tuple)
POOLS = st.fixed_dictionaries(
    {"a10g": st.integers(0, 20), "one/gpu": st.integers(0, 9)}, optional={"two/gpu": st.just(0)}
)


def left_over(demands: tuple[Demand, ...], granted: dict[str, int], pool: dict[str, int]):
    left = dict(pool)
    for each in demands:
        for name in each.bounded_by(left):
            left[name] -= granted[each.key] * each.gpus
    return left


@given(ASKED, POOLS)
def test_no_pool_is_overdrawn_and_nobody_gets_more_than_it_wants(demands, pool):
    granted = arbitrate(demands, pool)
    assert all(count >= 0 for count in left_over(demands, granted, pool).values())
    assert all(0 <= granted[each.key] <= each.wanted for each in demands)


@given(ASKED, POOLS)
def test_no_gpu_is_left_over_that_somebody_wants(demands, pool):
    granted = arbitrate(demands, pool)
    left = left_over(demands, granted, pool)
    assert not [each for each in demands if granted[each.key] < each.wanted and each.fits(left)]


@given(ASKED, POOLS)
def test_who_comes_later_by_priority_takes_nothing_from_who_comes_first(demands, pool):
    first = tuple(each for each in demands if each.priority == 2)
    alone, together = arbitrate(first, pool), arbitrate(demands, pool)
    assert alone == {key: together[key] for key in alone}
