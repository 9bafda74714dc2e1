"""How much a pool takes at once, and whether more may wait for it."""

from __future__ import annotations

import pytest

from hybrid_router.core.breaker import Outcome
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Backend, RouteTable, encode
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
