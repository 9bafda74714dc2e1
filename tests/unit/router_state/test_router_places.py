"""How much a pool takes at once, and whether more may wait for it."""

from __future__ import annotations

import asyncio

import pytest

from hybrid_router.core.breaker import Outcome
from hybrid_router.discovery.endpoints import Address
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Backend, RouteTable, Service, encode
from hybrid_router.telemetry.metrics import Metrics


@pytest.mark.parametrize(
    ("trust", "available"),
    [
        pytest.param("internal", True, id="for a local model one may wait in its queue"),
        pytest.param("external", False, id="an account that takes no more is not available"),
    ],
)
def test_a_pool_takes_no_more_than_its_concurrency(trust: str, *, available: bool) -> None:
    backend = Backend(trust=trust, urls=("http://a:1/v1",), max_concurrency=1)  # type: ignore[arg-type]
    registry = Registry(Metrics())
    registry.offer(encode(RouteTable(backends={"engine": backend})), "file")
    pool = registry.pool("engine")
    replica = pool.pick(0.0, ())
    assert replica is not None
    replica.acquire(1)
    assert (pool.pick(0.0, ()), pool.full) == (None, True)
    assert pool.available(0.0) is available
    replica.release(1, Outcome.CANCELLED, 0.0)
    assert (pool.available(0.0), pool.full) == (True, False)


@pytest.mark.parametrize(
    ("replicas", "routers", "places"),
    [
        pytest.param(1, 1, 10, id="one of each"),
        pytest.param(3, 1, 30, id="replicas add up"),
        pytest.param(3, 2, 15, id="routers share"),
        pytest.param(1, 3, 4, id="a share is rounded up"),
        pytest.param(1, 64, 1, id="and is one at least"),
        pytest.param(0, 1, 1, id="nobody to send to: one may try"),
    ],
)
def test_a_router_has_its_share_of_what_the_replicas_take(
    replicas: int, routers: int, places: int
) -> None:
    registry = Registry(Metrics())
    registry.offer(encode(in_cluster(max_concurrency=10)), "file")
    registry.locate("ml", "routers", [Address(f"r{i}", (("http", 1),)) for i in range(routers)])
    registry.locate("ml", "engine", [Address(f"e{i}", (("http", 1),)) for i in range(replicas)])
    assert registry.pool("engine").places == places


def test_without_a_bound_there_is_none() -> None:
    registry = Registry(Metrics())
    registry.offer(encode(in_cluster()), "file")
    assert registry.pool("engine").places is None


async def test_those_who_wait_keep_their_order_when_fewer_places_come_than_they_are() -> None:
    registry = Registry(Metrics())
    registry.offer(encode(in_cluster(max_concurrency=1)), "file")
    queue, served = registry.pool("engine").queue, list[int]()

    async def waits(number: int) -> None:
        assert await queue.wait(5, again=False)
        served.append(number)

    tasks = [asyncio.create_task(waits(number)) for number in range(3)]
    await asyncio.sleep(0)
    registry.locate("ml", "engine", [Address(f"e{i}", (("http", 1),)) for i in range(2)])
    await asyncio.sleep(0)
    assert served == [0, 1]
    registry.locate("ml", "engine", [Address(f"e{i}", (("http", 1),)) for i in range(3)])
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2]


def in_cluster(**backend: object) -> RouteTable:
    engine = Backend(trust="internal", service=Service("ml", "engine"), **backend)  # type: ignore[arg-type]
    return RouteTable(backends={"engine": engine}, routers=Service("ml", "routers"))
