from __future__ import annotations

import asyncio
import contextlib
import logging

from hybrid_operator.control.workers import CONCURRENCY, Result, Workers
from hybrid_operator.kube.kinds import Key
from tests.support import virtual_time

A, B = Key("ns", "a"), Key("ns", "b")


class Handler:
    """Answers from a script, and writes down when it was called."""

    def __init__(self, *script: Result | Exception, takes: float = 0.0) -> None:
        self.script = list(script)
        self.takes = takes
        self.calls: list[tuple[float, Key]] = []
        self.running: set[Key] = set()
        self.most = 0

    async def __call__(self, key: Key) -> Result:
        assert key not in self.running
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        self.calls.append((virtual_time.now(), key))
        try:
            await asyncio.sleep(self.takes)
            answer = self.script.pop(0) if self.script else Result()
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.running.discard(key)

    def times(self, key: Key = A) -> list[float]:
        return [at for at, called in self.calls if called == key]


async def work(workers: Workers, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await workers.run()


def test_keys_are_handled_side_by_side_and_no_more_than_eight_at_once():
    handler = Handler(takes=1.0)

    async def main():
        workers = Workers(handler, lambda: 0.0)
        for number in range(20):
            workers.add(Key("ns", str(number)))
        await work(workers, 10)

    virtual_time.run(main())
    assert len(handler.calls) == 20
    assert handler.most == CONCURRENCY
    assert sorted({at for at, _ in handler.calls}) == [0.0, 1.0, 2.0]


def test_many_changes_during_one_reconciliation_cause_one_more():
    handler = Handler(takes=1.0)

    async def main():
        workers = Workers(handler, lambda: 0.0)
        workers.add(A)
        loop = asyncio.get_running_loop()
        for at in (0.2, 0.4, 0.6):
            loop.call_later(at, workers.add, A)
        await work(workers, 10)

    virtual_time.run(main())
    assert handler.times() == [0.0, 1.0]


def test_a_second_look_happens_when_it_was_asked_for():
    handler = Handler(Result(again=30.0))

    async def main():
        workers = Workers(handler, lambda: 0.0)
        workers.add(A)
        await work(workers, 100)

    virtual_time.run(main())
    assert handler.times() == [0.0, 30.0]


def test_failures_back_off_key_by_key_and_a_success_starts_anew():
    failed = Result(failed=True, again=0.1)
    handler = Handler(failed, failed, failed, Result(), failed)

    async def main():
        workers = Workers(handler, lambda: 1.0)
        workers.add(A)
        loop = asyncio.get_running_loop()
        loop.call_later(100, workers.add, A)
        await work(workers, 200)

    virtual_time.run(main())
    assert handler.times() == [0.0, 0.5, 1.5, 3.5, 100.0, 100.5]


def test_one_failing_key_holds_up_no_other():
    async def handle(key: Key) -> Result:
        seen.append((virtual_time.now(), key))
        if key == A:
            raise ValueError("broken")
        return Result()

    seen: list[tuple[float, Key]] = []

    async def main():
        workers = Workers(handle, lambda: 1.0)
        workers.add(A)
        loop = asyncio.get_running_loop()
        for at in range(1, 10):
            loop.call_later(at, workers.add, B)
        await work(workers, 20)

    virtual_time.run(main())
    assert [at for at, key in seen if key == B] == [float(at) for at in range(1, 10)]


def test_a_change_to_a_failing_key_is_looked_at_within_two_seconds():
    handler = Handler(*[Result(failed=True)] * 12)

    async def main():
        workers = Workers(handler, lambda: 1.0)
        workers.add(A)
        asyncio.get_running_loop().call_later(600, workers.add, A)
        await work(workers, 601)

    virtual_time.run(main())
    assert handler.times()[-1] == 600.0


def test_a_fault_of_ours_is_logged_in_one_place_and_tried_again(caplog):
    handler = Handler(KeyError("oops"))

    async def main():
        workers = Workers(handler, lambda: 1.0)
        workers.add(A)
        await work(workers, 5)

    with caplog.at_level(logging.ERROR):
        virtual_time.run(main())
    assert handler.times() == [0.0, 0.5]
    assert [record.getMessage() for record in caplog.records] == [
        "ns/a: reconciling failed by a fault of the operator"
    ]


def test_stopping_cancels_and_awaits_what_is_under_way():
    ended = []

    async def handle(key: Key) -> Result:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.5)
            ended.append(key)
        return Result()

    async def main():
        workers = Workers(handle, lambda: 0.0)
        workers.add(A)
        workers.add(B)
        await work(workers, 1)
        return virtual_time.now()

    assert virtual_time.run(main()) == 1.5
    assert sorted(ended) == [A, B]
