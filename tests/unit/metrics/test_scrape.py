from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hybrid_operator.control.cache import Children, Resources
from hybrid_operator.kube.kinds import CHILDREN, POD, Key
from hybrid_operator.metrics.fetch import FetchError
from hybrid_operator.metrics.scrape import ROUNDS, SETTLED_SECONDS, STALE_SECONDS, Scraper
from hybrid_operator.metrics.totals import Counts
from hybrid_router.table import content_hash
from tests.support import virtual_time

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("ns", "support")
TABLE = '{"version": 1}'


def metadata(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:01:00Z",
        "labels": {
            "app.kubernetes.io/instance": "support",
            "app.kubernetes.io/component": "router",
        },
        "ownerReferences": [{"kind": "HybridInference", "uid": "uid-support"}],
    } | more


class Cluster:
    """Two routers, whose metrics are what `says` holds; `asked` notes when each was asked."""

    def __init__(self, status: Mapping[str, Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.changes = 0
        self.says: dict[str, str | None] = {}
        self.asked: dict[str, list[float]] = {"r1": [], "r2": []}
        self.resources = Resources(lambda _: None)
        self.children = Children(lambda _: None)
        self.scraper = Scraper(
            self.resources,
            self.children,
            self.fetch,
            self._changed,
            lambda: START + timedelta(seconds=loop.time()),
        )
        self.resources.accept(None, {"metadata": metadata("support"), "status": status or {}})
        self.children.upsert(
            CHILDREN["ConfigMap"], {"metadata": metadata("table"), "data": {"table.json": TABLE}}
        )
        for name in self.asked:
            self.pod(name)
            self.say(name)

    def pod(self, name: str, version: int = 1, **more: Any) -> None:
        status = {"phase": "Running", "podIP": "10.0.0.1"}
        change = {"resourceVersion": str(version)} | more
        self.children.upsert(POD, {"metadata": metadata(name, **change), "status": status})

    def say(self, name: str, table: str = TABLE, local: int = 0, more: str = "") -> None:
        digest = content_hash(table.encode())
        self.says[name] = (
            f'hinf_router_table_info{{hash="{digest}",generation="1"}} 1\n'
            f'hinf_router_requests_total{{source="local"}} {local}\n{more}'
        )

    async def fetch(self, pod: Mapping[str, Any]) -> str:
        name = pod["metadata"]["name"]
        self.asked[name].append(virtual_time.now())
        text = self.says[name]
        if text is None:
            raise FetchError("no answer")
        return text

    def overheard(self, name: str, asked: float | None = None, **more: Any) -> None:
        """Let the scraper hear what a router says now."""
        text, at = self.says[name], virtual_time.now() if asked is None else asked
        assert text is not None
        self.scraper.overhear({"metadata": metadata(name, **more)}, text, at)

    def _changed(self, key: Key) -> None:
        assert key == KEY
        self.changes += 1

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.ensure_future(self.scraper.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def test_routers_that_are_as_they_should_be_are_asked_every_15_seconds():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(61)
        return cluster.asked["r1"], cluster.changes

    asked, changes = virtual_time.run(main())
    assert asked == [0.0, SETTLED_SECONDS, 30.0, 45.0, 60.0]
    assert changes == 1


def test_what_was_overheard_shortly_before_they_are_due_is_not_asked_for_again():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(14)
            cluster.say("r1", local=5)
            cluster.overheard("r1")
            await asyncio.sleep(16.5)
            return cluster.asked, cluster.changes, cluster.scraper.counts(KEY)

    asked, changes, counts = virtual_time.run(main())
    assert asked == {"r1": [0.0, 30.0], "r2": [0.0, 15.0, 30.0]}
    assert (changes, counts) == (2, Counts(local=5))


def test_what_was_overheard_long_before_or_of_a_strange_router_is_nothing():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(5)
            cluster.say("r1", local=5)
            cluster.overheard("r1")
            cluster.overheard("r1", labels={})
            return cluster.scraper.counts(KEY)

    assert virtual_time.run(main()) == Counts()


def test_a_page_that_was_asked_for_before_another_came_changes_nothing():
    """Its counts are lower, as if the router had started again."""

    async def main():
        cluster = Cluster()
        cluster.say("r1", local=5)
        async with cluster.running():
            await asyncio.sleep(14)
            cluster.overheard("r1", asked=14.0)
            cluster.say("r1", local=4)
            cluster.overheard("r1", asked=13.9)
            return cluster.scraper.counts(KEY)

    assert virtual_time.run(main()) == Counts(local=5)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda c: c.say("r2", table="old"), id="a router serves another table"),
        pytest.param(lambda c: c.says.update(r2=None), id="a router does not answer"),
        pytest.param(lambda c: c.says.update(r2="<html>"), id="a router answers nonsense"),
        pytest.param(
            lambda c: c.say("r2", more='hinf_router_secret_missing{backend="openai"} 1\n'),
            id="a secret is missing",
        ),
        pytest.param(
            lambda c: c.say("r2", more='hinf_router_backend_up{backend="openai"} 0\n'),
            id="a backend is down",
        ),
    ],
)
def test_while_something_is_amiss_they_are_asked_every_second(trouble):
    async def main():
        cluster = Cluster()
        trouble(cluster)
        async with cluster.running():
            await asyncio.sleep(5.5)
        return cluster.asked["r1"]

    assert virtual_time.run(main()) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_until_routers_had_their_chance_to_answer_nothing_is_known_of_them():
    async def main():
        cluster = Cluster()
        cluster.says.update(r2=None)
        before = cluster.scraper.pending(KEY), cluster.changes
        async with cluster.running():
            await asyncio.sleep(ROUNDS - 1.5)
            early = cluster.scraper.pending(KEY)
            await asyncio.sleep(1)
            return before, early, (cluster.scraper.pending(KEY), cluster.changes)

    assert virtual_time.run(main()) == ((True, 0), True, (False, 2))


def test_a_resource_without_routers_waits_for_none():
    async def main():
        cluster = Cluster()
        for name in cluster.asked:
            cluster.children.remove(POD, {"metadata": metadata(name)})
        return cluster.scraper.pending(KEY)

    assert not virtual_time.run(main())


def test_what_routers_say_is_told_when_it_changes():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(20)
            before = cluster.changes
            cluster.say("r1", local=5)
            await asyncio.sleep(20)
            reports = cluster.scraper.reports(KEY)
        return before, cluster.changes, [(r.pod, r.local) for r in reports]

    assert virtual_time.run(main()) == (1, 2, [("r1", 5), ("r2", 0)])


def test_a_router_that_falls_silent_keeps_its_report_for_a_while():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(1)
            cluster.says["r2"] = None
            await asyncio.sleep(STALE_SECONDS - 2)
            early = [report.pod for report in cluster.scraper.reports(KEY)]
            await asyncio.sleep(4)
            late = [report.pod for report in cluster.scraper.reports(KEY)]
        return early, late

    assert virtual_time.run(main()) == (["r1", "r2"], ["r1"])


def test_a_router_that_leaves_is_asked_no_more():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(1)
            cluster.pod("r2", version=2, deletionTimestamp="now")
            await asyncio.sleep(30)
            reports = [report.pod for report in cluster.scraper.reports(KEY)]
        return reports, cluster.asked["r2"]

    assert virtual_time.run(main()) == (["r1"], [0.0])


def test_counts_go_on_from_the_status_over_a_restart_of_ours():
    async def main():
        cluster = Cluster({"routing": {"requests": 9, "local": 9, "api": 0}})
        cluster.pod("r1", version=2, creationTimestamp="2025-12-31T00:00:00Z")
        cluster.say("r1", local=7)
        cluster.say("r2", local=2)
        assert cluster.scraper.counts(KEY) is None
        async with cluster.running():
            await asyncio.sleep(1)
            return cluster.scraper.counts(KEY)

    assert virtual_time.run(main()) == Counts(local=11, api=0)


def test_a_resource_that_is_gone_is_forgotten():
    async def main():
        cluster = Cluster()
        async with cluster.running():
            await asyncio.sleep(1)
            cluster.resources.forget(KEY, "uid-support")
            await asyncio.sleep(20)
        return cluster.scraper.reports(KEY), cluster.asked["r1"]

    assert virtual_time.run(main()) == ((), [0.0])
