from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hybrid_operator.control.leader import (
    LEASE_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_SECONDS,
    Elector,
    Record,
)
from hybrid_operator.kube.client import CALL_SECONDS
from hybrid_operator.kube.errors import AlreadyExists, Conflict, Unavailable
from tests.support import virtual_time

START = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """A Lease with the API server's optimistic locking, and a network that can fail by client."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.writes = 0
        self.away: set[str] = set()

    def store(self, client: str) -> Store:
        return Store(self, client)


class Store:
    def __init__(self, server: Server, client: str) -> None:
        self.server = server
        self.client = client

    async def read(self) -> Record | None:
        self._reach()
        return self.server.record

    async def write(self, record: Record) -> Record:
        await asyncio.sleep(0)
        self._reach()
        known = self.server.record
        if known is None and record.version:
            raise Conflict("it is gone")
        if known is not None and not record.version:
            raise AlreadyExists("it is there")
        if known is not None and known.version != record.version:
            raise Conflict("somebody was faster")
        self.server.writes += 1
        self.server.record = replace(record, version=str(self.server.writes))
        return self.server.record

    def _reach(self) -> None:
        if self.client in self.server.away:
            raise Unavailable("no answer")


class Process:
    """An operator that competes; notes when it worked."""

    def __init__(self, server: Server, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.elector = Elector(
            server.store(name),
            name,
            lambda: START + timedelta(seconds=loop.time()),
            loop.time,
            lambda: 0.0,
        )
        self.spans: list[list[float]] = []
        self.task = asyncio.ensure_future(self.elector.run(self.work))

    async def work(self) -> None:
        span = [virtual_time.now()]
        self.spans.append(span)
        try:
            await asyncio.Event().wait()
        finally:
            span.append(virtual_time.now())

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def kill(self, server: Server, name: str) -> None:
        """End like kill -9: nothing is given back."""
        server.away.add(name)
        await self.stop()


def test_the_first_one_leads_and_the_second_stands_by():
    async def main():
        server = Server()
        a, b = Process(server, "a"), Process(server, "b")
        await asyncio.sleep(300)
        result = a.elector.leading(), b.elector.leading(), len(b.spans), server.record
        await a.stop()
        await b.stop()
        return result

    a, b, spans, record = virtual_time.run(main())
    assert (a, b, spans) == (True, False, 0)
    assert record is not None
    assert record.holder == "a"
    assert record.transitions == 0


def test_who_stops_gives_the_lease_back_and_the_other_takes_over_at_once():
    async def main():
        server = Server()
        a, b = Process(server, "a"), Process(server, "b")
        await asyncio.sleep(60)
        await a.stop()
        assert server.record is not None
        assert server.record.holder == ""
        await asyncio.sleep(RETRY_SECONDS + 0.1)
        leading = b.elector.leading()
        await b.stop()
        return leading

    assert virtual_time.run(main())


def test_who_dies_is_replaced_after_the_lease_has_run_out():
    async def main():
        server = Server()
        a, b = Process(server, "a"), Process(server, "b")
        await asyncio.sleep(60)
        await a.kill(server, "a")
        await asyncio.sleep(LEASE_SECONDS - RETRY_SECONDS - 0.1)
        early = b.elector.leading()
        await asyncio.sleep(2 * RETRY_SECONDS + 0.1)
        late = b.elector.leading()
        await b.stop()
        return early, late, server.record

    early, late, _ = virtual_time.run(main())
    assert (early, late) == (False, True)


def test_who_is_cut_off_stops_writing_long_enough_before_another_begins():
    async def main():
        server = Server()
        a, b = Process(server, "a"), Process(server, "b")
        await asyncio.sleep(61)
        server.away.add("a")
        await asyncio.sleep(60)
        await b.stop()
        await a.stop()
        return a.spans, b.spans

    (a_span,), (b_span, *_) = virtual_time.run(main())
    assert a_span[1] <= 61 + RENEW_DEADLINE_SECONDS
    assert b_span[0] - a_span[1] >= CALL_SECONDS
    assert b_span[0] <= 61 + LEASE_SECONDS + 2 * RETRY_SECONDS


def test_a_short_absence_of_the_api_server_costs_nothing():
    async def main():
        server = Server()
        a = Process(server, "a")
        await asyncio.sleep(60)
        server.away.add("a")
        await asyncio.sleep(RENEW_DEADLINE_SECONDS - 2 * RETRY_SECONDS)
        server.away.clear()
        await asyncio.sleep(60)
        await a.stop()
        return a.spans

    assert len(virtual_time.run(main())) == 1


def test_who_was_cut_off_competes_again():
    async def main():
        server = Server()
        a = Process(server, "a")
        await asyncio.sleep(60)
        server.away.add("a")
        await asyncio.sleep(60)
        server.away.clear()
        await asyncio.sleep(30)
        leading = a.elector.leading()
        await a.stop()
        return leading, len(a.spans)

    assert virtual_time.run(main()) == (True, 2)


def test_a_lease_that_another_took_is_given_up_at_once():
    async def main():
        server = Server()
        a = Process(server, "a")
        await asyncio.sleep(60)
        assert server.record is not None
        server.record = replace(server.record, holder="thief", version="stolen")
        await asyncio.sleep(RETRY_SECONDS + 0.1)
        leading = a.elector.leading()
        await a.stop()
        return leading, server.record

    leading, record = virtual_time.run(main())
    assert not leading
    assert record is not None
    assert record.holder == "thief"


def test_a_deleted_lease_is_made_again():
    async def main():
        server = Server()
        a = Process(server, "a")
        await asyncio.sleep(60)
        server.record = None
        await asyncio.sleep(3 * RETRY_SECONDS)
        record, spans = server.record, len(a.spans)
        await a.stop()
        return record, spans

    record, spans = virtual_time.run(main())
    assert record is not None
    assert record.holder == "a"
    assert spans == 1


def test_never_two_at_once_however_the_network_behaves():
    async def main():
        server = Server()
        names = ["a", "b", "c"]
        processes = [Process(server, name) for name in names]
        for step in range(300):
            server.away = {name for i, name in enumerate(names) if (step * 7 + i * 5) % 4 == 0}
            await asyncio.sleep(1 + step % 13)
            assert sum(process.elector.leading() for process in processes) <= 1
        for process in processes:
            await process.stop()
        return sorted(span for process in processes for span in process.spans)

    spans = virtual_time.run(main())
    assert len(spans) > 3
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_what_the_work_fails_with_ends_the_election_and_gives_the_lease_back():
    async def main():
        server = Server()
        loop = asyncio.get_running_loop()
        elector = Elector(server.store("a"), "a", lambda: START, loop.time, lambda: 0.0)

        async def work() -> None:
            await asyncio.sleep(5)
            raise LookupError("broken")

        with pytest.raises(LookupError, match="broken"):
            await elector.run(work)
        return elector.leading(), server.record

    leading, record = virtual_time.run(main())
    assert not leading
    assert record is not None
    assert record.holder == ""


def test_the_numbers_leave_room_for_a_write_that_began_in_the_last_moment():
    assert RENEW_DEADLINE_SECONDS + CALL_SECONDS <= LEASE_SECONDS
