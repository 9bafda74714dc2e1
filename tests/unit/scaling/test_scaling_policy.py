"""The scaling policy: one sentence for each branch, and the laws that hold for every load."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_operator.core.scaling.policy import decide
from hybrid_operator.core.scaling.types import Decision, Hint, Objectives, Policy, Sample
from hybrid_operator.core.scaling.window import Window, observe, remember

BERLIN, AUCKLAND = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Auckland")
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday
DEAR, CHEAP = 0.02, 0.00005
"""USD of the API for an engine-second."""
GPU = 1 / 3600
"""USD for a second of a replica at 1 USD an hour."""


def sample(demand: float = 0.0, replicas: int = 1, **fields: Any) -> Sample:
    given: dict[str, Any] = {
        "seconds": 15.0,
        "demand": demand,
        "replicas": replicas,
        "ready": replicas,
        "requests": demand > 0,
    }
    return Sample(**given | fields)


def play(policy: Policy, samples: list[Sample], window: Window | None = None) -> Decision:
    """Return the last decision; every sample has the replicas that it states."""
    window, decision = window or Window(), None
    for index, each in enumerate(samples):
        now = NOON + timedelta(seconds=15 * index)
        window = observe(window, each, policy, now)
        decision = decide(window, policy, now)
        window = remember(window, decision)
    assert decision is not None
    return decision


def priced(usd: float, demand: float, replicas: int = 1, **fields: Any) -> Sample:
    return sample(demand, replicas, api_usd=usd * demand, **fields)


UP = Policy(least=1, most=8)
SLEEPS = Policy(least=0, most=8)
GUARDED = Policy(least=0, most=8, gpu_hour_usd=1.0)
ALL_DAY = frozenset(range(7))

CASES: list[Any] = [
    pytest.param(UP, [sample(0.5)] * 4, 1, "Demand", id="demand that one serves keeps one"),
    pytest.param(UP, [sample(1.0)] * 9, 2, "Demand", id="above the utilisation a second one comes"),
    pytest.param(
        UP, [sample(3.3)], 4, "Panic", id="a burst far above what is ready is met at once"
    ),
    pytest.param(UP, [sample(50.0)] * 40, 5, "StepLimit", id="at most four more at once"),
    pytest.param(
        UP, [sample(50.0, 4 + i) for i in range(9)], 8, "Bounds", id="max bounds what load asks for"
    ),
    pytest.param(replace(UP, least=2), [sample(0.1, 2)] * 9, 2, "Bounds", id="min bounds it below"),
    pytest.param(
        replace(UP, least=20, most=30), [sample(0.1)], 20, "Bounds", id="a min that rose is met"
    ),
    pytest.param(
        UP, [sample(3.0, 4)] * 5 + [sample(0.1, 4)] * 9, 4, "Stabilising", id="down waits 5 minutes"
    ),
    pytest.param(UP, [sample(0.1, 4)] * 40, 1, "Demand", id="and then comes"),
    pytest.param(
        UP, [sample(0.0, 4, complete=False)] * 40, 4, "NoMetrics", id="ignorance takes nothing away"
    ),
    pytest.param(
        UP, [sample(math.nan, 3)] * 40, 3, "NoMetrics", id="a demand that is not a number neither"
    ),
    pytest.param(
        UP, [sample(2.6, 1, complete=False)], 4, "Panic", id="what is seen in part may add replicas"
    ),
    pytest.param(SLEEPS, [sample(0.0)] * 61, 0, "Idle", id="without requests min 0 sleeps"),
    pytest.param(
        SLEEPS, [sample(0.001)] * 80, 1, "Demand", id="with the least request it stays awake"
    ),
    pytest.param(
        replace(SLEEPS, idle_seconds=60.0), [sample(0.0)] * 6, 0, "Idle", id="after idleAfter"
    ),
    pytest.param(
        SLEEPS, [sample(0.0, 0)] * 9 + [sample(0.01, 0)], 1, "Wake", id="the first request wakes"
    ),
    pytest.param(UP, [sample(0.0)] * 99, 1, "Bounds", id="min 1 never sleeps"),
    pytest.param(
        GUARDED, [priced(CHEAP, 3.0, 4)] * 99, 0, "CostGuard", id="a cheap API is left its traffic"
    ),
    pytest.param(
        GUARDED, [priced(CHEAP, 3.0, 4)] * 30, 4, "Stabilising", id="but not on ten minutes' word"
    ),
    pytest.param(
        replace(GUARDED, least=1),
        [priced(CHEAP, 3.0, 4)] * 30,
        4,
        "Stabilising",
        id="nor down to min",
    ),
    pytest.param(
        GUARDED, [sample(3.0, 4, api_usd=0.0)] * 99, 0, "CostGuard", id="still less is a free one"
    ),
    pytest.param(
        GUARDED,
        [*[priced(CHEAP, 3.0, 0)] * 99, sample(3.0, 0, api_usd=None)],
        4,
        "Wake",
        id="a price that was taken back guards nothing",
    ),
    pytest.param(
        GUARDED, [priced(CHEAP, 0.5, 0)] * 20, 0, "CostGuard", id="a cheap API wakes nothing"
    ),
    pytest.param(
        GUARDED,
        [priced(1.4 * GPU, 0.85, 0)] * 2,
        0,
        "CostGuard",
        id="a few busy seconds do not prove that a replica would earn its hour",
    ),
    pytest.param(
        GUARDED, [priced(1.4 * GPU, 0.85, 0)] * 24, 1, "Wake", id="but six minutes of them do"
    ),
    pytest.param(
        GUARDED,
        [priced(DEAR, 4.0 * (i % 20 == 0), 5) for i in range(59)],
        5,
        "Price",
        id="a dear API keeps replicas that look idle",
    ),
    pytest.param(
        replace(GUARDED, gpu_hour_usd=0.0),
        [priced(CHEAP, 3.0, 4)] * 99,
        4,
        "Demand",
        id="owned GPUs are never guarded away",
    ),
    pytest.param(
        replace(GUARDED, gpu_hour_usd=None),
        [priced(CHEAP, 3.0, 4)] * 99,
        4,
        "Demand",
        id="without a price of the GPU the guard does not act",
    ),
    pytest.param(
        GUARDED,
        [priced(CHEAP, 1.5, 3, local_only=1.5)] * 99,
        2,
        "LocalOnly",
        id="what must stay local is served at any price",
    ),
    pytest.param(
        GUARDED,
        [priced(CHEAP, 0.1, 1, local_only=0.1), *[priced(CHEAP, 0.0, 1)] * 50],
        1,
        "LocalOnly",
        id="a model that somebody needed stays for a while",
    ),
    pytest.param(
        GUARDED,
        [priced(CHEAP, 0.1, 1, local_only=0.1), *[priced(CHEAP, 0.0, 1)] * 99],
        0,
        "Demand",
        id="and goes when nobody needed it for a quarter of an hour",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(ttft_seconds=1.0)),
        [*[sample(1.0, 2, ttft_seconds=0.5)] * 9, sample(1.0, 2, ttft_seconds=1.6)],
        2,
        "Demand",
        id="one slow look does not",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(ttft_seconds=1.0)),
        [*[sample(1.0, 2, ttft_seconds=1.6)] * 9, sample(1.0, 2, ttft_seconds=0.5)],
        2,
        "Demand",
        id="and after a good one none is added",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(ttft_seconds=1.0)),
        [sample(1.0, 2, ttft_seconds=1.5)],
        3,
        "SLO",
        id="a missed objective adds replicas",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(itl_seconds=0.05)),
        [sample(0.1, 2, itl_seconds=0.5)] * 30,
        1,
        "Demand",
        id="not where replicas are idle",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(ttft_seconds=1.0)),
        [sample(0.85, 2, ttft_seconds=0.9)] * 30,
        2,
        "SLO",
        id="near an objective nothing is taken away",
    ),
    pytest.param(
        replace(UP, objectives=Objectives(ttft_seconds=1.0)),
        [sample(1.2, 3, ready=1, ttft_seconds=9.0)],
        3,
        "SLO",
        id="replicas that start are waited for",
    ),
    pytest.param(
        replace(UP, hints=(Hint(ALL_DAY, 11 * 60, 13 * 60, 3),)),
        [sample(0.1)],
        3,
        "Schedule",
        id="the schedule asks for them now",
    ),
    pytest.param(
        replace(UP, hints=(Hint(frozenset({1}), 22 * 60, 12 * 60 + 1, 3),)),
        [sample(0.1)],
        3,
        "Schedule",
        id="a night of the schedule ends on the next day",
    ),
    pytest.param(
        replace(UP, hints=(Hint(frozenset({2}), 12 * 60, 14 * 60, 3, BERLIN),)),
        [sample(0.1)],
        3,
        "Schedule",
        id="at 13:00 in Berlin",
    ),
    pytest.param(
        replace(UP, hints=(Hint(frozenset({3}), 0, 2 * 60, 3, AUCKLAND),)),
        [sample(0.1)],
        3,
        "Schedule",
        id="at 1:00 of the next day in Auckland",
    ),
    pytest.param(
        replace(UP, hints=(Hint(frozenset({0}), 11 * 60, 13 * 60, 3),)),
        [sample(0.1)],
        1,
        "Demand",
        id="on another day it does not",
    ),
]


@pytest.mark.parametrize(("policy", "samples", "replicas", "reason"), CASES)
def test_decision(policy: Policy, samples: list[Sample], replicas: int, reason: str):
    decision = play(policy, samples)
    assert (decision.replicas, decision.reason) == (replicas, reason), decision.message


def test_before_anything_is_seen_the_least_is_asked_for():
    assert decide(Window(), UP, NOON).reason == "NoMetrics"


def test_yesterday_at_this_time_counts_where_a_forecast_is_asked_for():
    policy = replace(UP, forecast=True)
    window = Window()
    for day, demand in ((0, 4.0), (1, 0.1)):
        for minute in range(60):
            now = NOON + timedelta(days=day, minutes=minute - 60)
            window = observe(window, sample(demand, 1, seconds=60.0), policy, now)
            window = remember(window, decide(window, policy, now))
    for _ in range(10):  # well before noon, nothing else asks for more than one
        window = observe(window, sample(0.1, 1, seconds=60.0), policy, NOON - timedelta(hours=5))
        window = remember(window, decide(window, policy, NOON - timedelta(hours=5)))
    assert decide(window, policy, NOON - timedelta(hours=5)).replicas == 1
    tomorrow = NOON + timedelta(days=2, minutes=-30)
    window = observe(window, sample(0.1), policy, tomorrow)
    assert decide(window, policy, tomorrow).reason == "Forecast"


def test_a_lie_of_a_pod_costs_no_memory():
    window = observe(Window(), sample(1e12), replace(GUARDED, most=4), NOON)
    window = observe(window, priced(DEAR, 1e12), replace(GUARDED, most=4), NOON)
    assert len(window.levels.levels) <= 5


USD = st.sampled_from([0.0, CHEAP, 0.0004, DEAR])
OBJECTIVES = st.builds(Objectives, st.none() | st.just(1.0), st.none() | st.just(0.05))
HINTS = st.builds(
    Hint,
    st.frozensets(st.integers(0, 6)),
    st.integers(11 * 60, 13 * 60),
    st.integers(11 * 60, 13 * 60),
    st.integers(0, 6),
)
POLICIES = st.builds(
    Policy,
    least=st.integers(0, 2),
    most=st.integers(2, 6),
    utilization=st.floats(0.5, 1.0),
    idle_seconds=st.sampled_from([None, 60.0]),
    gpu_hour_usd=st.sampled_from([None, 0.0, 1.0]),
    objectives=OBJECTIVES,
    hints=st.lists(HINTS, max_size=1).map(tuple),
    forecast=st.booleans(),
)


class Look(NamedTuple):
    """What the world does between two looks."""

    demand: float
    local: float = 0.0
    """Share of it that no API may serve."""
    ttft: float | None = None
    itl: float | None = None
    complete: bool = True
    late: int = 0
    """Replicas that are asked for and not ready yet."""

    def sample(self, usd: float, replicas: int) -> Sample:
        return priced(
            usd,
            self.demand,
            replicas,
            ready=max(replicas - self.late, 0),
            local_only=self.local * self.demand,
            ttft_seconds=self.ttft,
            itl_seconds=self.itl,
            complete=self.complete,
        )


LOOKS = st.builds(
    Look,
    demand=st.floats(0, 6),
    local=st.sampled_from([0.0, 0.0, 0.0, 0.5]),
    ttft=st.sampled_from([None, 0.1, 0.9, 1.5]),
    itl=st.sampled_from([None, 0.01, 0.2]),
    complete=st.sampled_from([True] * 9 + [False]),
    late=st.integers(0, 2),
)
HISTORY = st.lists(LOOKS, min_size=1, max_size=60)


def follow(
    policy: Policy, looks: list[Look], usd: float, replicas: int | None = None
) -> tuple[Window, list[int]]:
    window, found = Window(), []
    replicas = policy.least if replicas is None else replicas
    for index, look in enumerate(looks):
        now = NOON + timedelta(seconds=15 * index)
        window = observe(window, look.sample(usd, replicas), policy, now)
        decision = decide(window, policy, now)
        window, replicas = remember(window, decision), decision.replicas
        found.append(replicas)
    return window, found


@given(POLICIES, st.integers(0, 30), HISTORY, USD, st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_bounds_always_hold(policy, more, looks, usd, replicas):
    policy = replace(policy, least=policy.least + more, most=policy.most + more)
    _, found = follow(policy, looks, usd, replicas)
    assert all(policy.least <= each <= policy.most for each in found)


@given(POLICIES, HISTORY, USD, LOOKS, st.floats(0, 6))
@settings(deadline=None, max_examples=60)
def test_more_demand_never_gives_fewer_replicas(policy, looks, usd, look, other):
    window, found = follow(policy, looks, usd)

    def then(demand: float) -> int:
        sample = look._replace(demand=demand).sample(usd, found[-1])
        return decide(observe(window, sample, policy, NOON), policy, NOON).replicas

    less, more = sorted((look.demand, other))
    assert then(less) <= then(more)


@given(POLICIES, HISTORY, USD, LOOKS, st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_ignorance_takes_no_replica_away(policy, looks, usd, look, current):
    window, _ = follow(policy, looks, usd)
    window = observe(window, look._replace(complete=False).sample(usd, current), policy, NOON)
    assert decide(window, policy, NOON).replicas >= min(current, policy.most)


@given(POLICIES, st.lists(LOOKS, min_size=240, max_size=240), USD)
@settings(deadline=None, max_examples=15)
def test_an_hour_has_at_most_12_ups_that_turn_into_downs(policy, looks, usd):
    _, found = follow(policy, looks, usd)
    moves = [b > a for a, b in itertools.pairwise(found) if a != b]
    turns = sum(up and not then for up, then in itertools.pairwise(moves))
    assert turns <= 12
