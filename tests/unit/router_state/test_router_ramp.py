"""A replica that has just come gets its share little by little."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

import pytest

from hybrid_router.core import ramp
from hybrid_router.core.ramp import Ramp
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Backend, Model, RouteTable, Target, encode
from hybrid_router.telemetry.metrics import Metrics


@dataclass
class Came:
    since: float


OLD = Came(-math.inf)


@pytest.mark.parametrize(
    ("age", "least", "most"),
    [
        pytest.param(0.0, 0.07, 0.13, id="at first one request of ten"),
        pytest.param(15.0, 0.46, 0.54, id="after half of the time every second one"),
        pytest.param(30.0, 1.0, 1.0, id="in the end all"),
    ],
)
def test_a_new_replica_is_a_candidate_for_a_growing_part(age: float, least: float, most: float):
    new, draw = Came(0.0), random.Random(7).random  # noqa: S311  for a test
    asked = [new in ramp.candidates([OLD, new], age, draw) for _ in range(4000)]
    assert least <= sum(asked) / len(asked) <= most


def test_where_all_are_new_nobody_is_held_back():
    replicas = [Came(0.0), Came(0.0)]
    assert ramp.candidates(replicas, 1.0, lambda: 0.999) == replicas


def table(*urls: str) -> bytes:
    backend = Backend(trust="internal", urls=urls)
    target = Target(backend="local", model="m")
    return encode(RouteTable(models={"m": Model(targets=(target,))}, backends={"local": backend}))


def test_of_a_pool_that_grows_the_newcomer_begins_with_little():
    draw = random.Random(3).random  # noqa: S311  for a test
    registry = Registry(Metrics(), draw=draw)
    registry.offer(table("http://a/v1"), "file")
    pool = registry.pool("local")
    assert pool.pick(0.0, ())
    registry.offer(table("http://a/v1", "http://b/v1"), "file")

    def share(now: float) -> float:
        picked = [pool.pick(now, ()) for _ in range(1000)]
        return sum(each is not None and each.url == "http://b/v1" for each in picked) / 1000

    assert share(100.0) < 0.2
    assert 0.4 < share(130.0) < 1.0


def woken(now: float = 200.0) -> Ramp:
    """Return the ramp of a pool that a request found empty before its first replica came."""
    found = Ramp(lambda: 0.5)
    found.missed()
    found.came([Came(0.0)], (), now)
    return found


@pytest.mark.parametrize(
    ("age", "most"),
    [
        pytest.param(0.0, 1, id="one at a time at first"),
        pytest.param(5.0, 2, id="after 5 s two at once"),
        pytest.param(15.0, 8, id="after 15 s eight"),
        pytest.param(ramp.SECONDS, 1000, id="in the end as many as there are"),
    ],
)
def test_traffic_that_went_elsewhere_for_want_of_a_replica_comes_back_little_by_little(
    age: float, most: int
):
    pool = woken(200.0)
    assert pool.invites(200.0 + age, most - 1)
    assert pool.invites(200.0 + age, most) == (age >= ramp.SECONDS)


def test_a_router_that_starts_beside_a_running_engine_holds_nothing_back():
    pool = Ramp(lambda: 0.5)
    pool.came([Came(0.0)], (), 200.0)
    assert pool.invites(200.0, 1000)


def test_a_pool_that_was_missed_is_ramped_by_the_registry():
    registry = Registry(Metrics(), draw=lambda: 0.5)
    registry.offer(table("http://a/v1"), "file")
    pool, now = registry.pool("local"), time.monotonic()
    assert pool.ramp.invites(now, 1000)
    pool.locate([], registry.table.policy)
    assert not registry.available("local")
    pool.locate(["http://a/v1"], registry.table.policy)
    assert registry.available("local")
    assert not pool.ramp.invites(now, 1000)
    assert pool.pick(now, ()) is not None, "who may go nowhere else is held back by nothing"
