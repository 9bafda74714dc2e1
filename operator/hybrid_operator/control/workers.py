"""Runs reconciliations from the queue: some at a time, one per key, with backoff per key."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.control.queue import KeyedQueue, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hybrid_operator.kube.kinds import Key

log = logging.getLogger(__name__)

CONCURRENCY = 8
FAILED_HOLD_SECONDS = 2.0
"""A change to a failing key is looked at within this time, whatever its backoff has grown to."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconciliation went."""

    wrote: bool = False
    """Whether it wrote a child."""
    failed: bool = False
    """Whether to try again, with backoff."""
    again: float | None = None
    """Seconds after which to look again although nothing changed."""
    waits: bool = False
    """Whether too little is known yet to judge by; nothing was done."""


class Workers:
    """The queue and those who work on it."""

    def __init__(
        self, handle: Callable[[Key], Awaitable[Result]], jitter: Callable[[], float]
    ) -> None:
        """Hand every key that is due to `handle`.

        Args:
            handle: Reconciles; what it raises is logged and counts as failed.
            jitter: Returns a number from 0 to 1.
        """
        self._handle = handle
        self._jitter = jitter
        self._queue: KeyedQueue[Key] = KeyedQueue()
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many keys wait."""
        return len(self._queue)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Have `key` reconciled, `delay` seconds from now at the latest."""
        self._queue.add(key, _clock() + delay)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then every reconciliation under way is cancelled and awaited."""
        async with asyncio.TaskGroup() as group:
            slots = asyncio.Semaphore(CONCURRENCY)
            while True:
                await slots.acquire()
                key = await self._next()
                task = group.create_task(self._work(key), name=f"reconcile {key}")
                task.add_done_callback(lambda _: slots.release())

    async def _next(self) -> Key:
        while True:
            self._wake.clear()
            key = self._queue.take(_clock())
            if key is not None:
                return key
            due = self._queue.next_due()
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self, key: Key) -> None:
        result = Result()
        try:
            result = await self._handle(key)
        except Exception:
            log.exception("%s: reconciling failed by a fault of the operator", key)
            result = Result(failed=True)
        finally:
            self._finish(key, result)

    def _finish(self, key: Key, result: Result) -> None:
        now = _clock()
        failures = self._failures.pop(key, 0)
        again = None if result.again is None else now + result.again
        not_before = now
        if result.failed:
            self._failures[key] = failures + 1
            wait = backoff(failures + 1, self._jitter())
            again = now + wait
            not_before = now + min(wait, FAILED_HOLD_SECONDS)
        self._queue.finish(key, now, again, not_before)
        self._wake.set()


def _clock() -> float:
    return asyncio.get_running_loop().time()
