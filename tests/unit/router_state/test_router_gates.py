"""A policy's gate is built once, off the loop, and before the policy's table is in force."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import cast

import pytest

from hybrid_router.datapolicy.gate import Gate
from hybrid_router.datapolicy.source import Gates
from hybrid_router.discovery import tables
from hybrid_router.discovery.registry import Registry
from hybrid_router.discovery.tables import Tables
from hybrid_router.endpoints.health import Health
from hybrid_router.server.exchange import Exchange
from hybrid_router.table import DataPolicy, Policy, RouteTable, encode
from hybrid_router.telemetry.metrics import Metrics


def keeps(words: str, generation: int = 1) -> RouteTable:
    """Return a table whose policy keeps a word inside."""
    data = DataPolicy(keep_local=("secret-project",), words={"secret-project": (words,)})
    return RouteTable(generation=generation, policy=Policy(data=data))


async def built(gates: Gates, table: RouteTable) -> None:
    """Put a table in force, and wait for its gate."""
    gates.follow(table)
    building = gates.prepare(table)
    if building is not None:
        await building


async def test_without_a_policy_nothing_is_waited_for() -> None:
    gates = Gates(Metrics())
    gates.follow(RouteTable())
    assert gates.ready
    assert gates.prepare(RouteTable()) is None


async def test_a_table_with_the_policy_of_the_last_two_needs_no_new_gate() -> None:
    gates = Gates(Metrics())
    await built(gates, keeps("walnut"))
    assert gates.prepare(keeps("walnut", generation=2)) is None
    await built(gates, keeps("hazel"))
    assert gates.prepare(keeps("walnut", generation=3)) is None
    assert gates.prepare(keeps("almond")) is not None


async def test_the_gate_in_force_stays_whatever_is_prepared() -> None:
    gates = Gates(Metrics())
    await built(gates, keeps("walnut"))
    for word in ("hazel", "almond", "pecan"):
        gates.prepare(keeps(word))
    assert gates.ready
    assert gates.prepare(keeps("walnut")) is None


async def test_gates_of_policies_that_have_gone_are_freed() -> None:
    before = sum(isinstance(each, Gate) for each in gc.get_objects())
    gates = Gates(Metrics())
    for number in range(12):
        await built(gates, keeps(f"word {number}"))
    gc.collect()
    assert sum(isinstance(each, Gate) for each in gc.get_objects()) - before <= 2


class Serving:
    """A registry with a table in force, and tables whose needs this test fulfils."""

    def __init__(self) -> None:
        self.registry = Registry(Metrics())
        self.tables = Tables(self.registry, lambda _source: None)
        self.needs: list[asyncio.Future[object]] = []
        self.tables.offer(encode(RouteTable(generation=1)), "file")
        self.tables.prepare = self.prepare

    def prepare(self, table: RouteTable) -> asyncio.Future[object] | None:
        if table.policy.data is None:
            return None
        self.needs.append(asyncio.get_running_loop().create_future())
        return self.needs[-1]

    @property
    def generation(self) -> int:
        return self.registry.table.generation


async def test_the_old_table_serves_until_the_new_ones_gate_is_built() -> None:
    serving = Serving()
    serving.tables.offer(encode(keeps("walnut", generation=2)), "file")
    await asyncio.sleep(0.01)
    assert serving.generation == 1
    serving.needs[0].set_result(None)
    await asyncio.sleep(0.01)
    assert serving.generation == 2


async def test_a_table_that_was_followed_by_another_never_comes_into_force() -> None:
    serving = Serving()
    serving.tables.offer(encode(keeps("walnut", generation=2)), "file")
    serving.tables.offer(encode(RouteTable(generation=3)), "file")
    assert serving.generation == 3
    serving.needs[0].set_result(None)
    await asyncio.sleep(0.01)
    assert serving.generation == 3


async def test_a_stricter_policy_is_not_late_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONGEST_WAIT_SECONDS", 0.01)
    serving = Serving()
    serving.tables.offer(encode(keeps("walnut", generation=2)), "file")
    async with asyncio.timeout(10):
        while serving.generation == 1:  # noqa: ASYNC110  what is waited for sets no event
            await asyncio.sleep(0.005)
    assert not serving.needs[0].done()


async def test_the_first_table_is_in_force_at_once_and_readiness_waits_for_its_gate() -> None:
    registry, gates = Registry(Metrics()), SimpleNamespace(ready=False)
    offered = Tables(registry, lambda _source: None)
    offered.prepare = lambda _table: asyncio.get_running_loop().create_future()
    offered.offer(encode(keeps("walnut")), "file")
    assert registry.ready
    health = Health(registry, Metrics(), cast("Gates", gates))
    seen: list[int] = []
    exchange = SimpleNamespace(reply=lambda status, *_: seen.append(status))
    for ready in (False, True, False):  # a policy that comes later makes no router unready
        gates.ready = ready
        health.ready(cast("Exchange", exchange))
    assert seen == [503, 200, 200]
