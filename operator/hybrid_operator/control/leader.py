"""Leadership: one operator writes at a time, decided by a `coordination.k8s.io` Lease.

The numbers and rules are those of Kubernetes' own controllers. Who holds the Lease renews it
every 2 s; who cannot renew it for 10 s stops leading; who sees it unrenewed for 15 s, by his own
clock, may take it. Every write takes at most 5 s (`kube.client.CALL_SECONDS`), so the last write
of a leader that lost its Lease has ended before another operator's first one begins, without
comparing two machines' clocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hybrid_operator.kube.errors import Conflict, KubeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0
RELEASE_SECONDS = 3.0
"""How long giving the Lease back may take at the end; if it fails, it expires by itself."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says."""

    holder: str
    """Identity of who leads; empty when it was given back."""
    seconds: float
    """How long it stands after a renewal."""
    acquired: datetime
    renewed: datetime
    transitions: int
    version: str = ""
    """Resource version; empty for a Lease that does not exist yet."""


class Store(Protocol):
    """Where the Lease is kept."""

    async def read(self) -> Record | None:
        """Return what stands there; None when there is no Lease."""

    async def write(self, record: Record) -> Record:
        """Write it if it still has `record.version` (else `Conflict`); return it as written."""


class Elector:
    """Competes for the Lease and does the leader's work while it holds it."""

    def __init__(
        self,
        store: Store,
        identity: str,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        """Compete under `identity`, unique to this process.

        Args:
            store: Where the Lease is kept.
            identity: Pod name and something random.
            now: The wall clock, for what people read in the Lease.
            clock: Seconds that only go forward, for everything that is decided.
            jitter: Returns a number from 0 to 1.
        """
        self._store = store
        self._identity = identity
        self._now = now
        self._clock = clock
        self._jitter = jitter
        self._record: Record | None = None
        self._seen = 0.0
        """When `_record` was first seen as it is, by the clock."""
        self._until = 0.0
        """Until when we may write, by the clock."""

    def leading(self) -> bool:
        """Whether a write that begins now ends before anybody else's can begin; from any thread."""
        return self._clock() < self._until

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` whenever we lead, until cancelled; then give the Lease back.

        `work` is cancelled, and awaited, when leadership is lost. What it raises is raised here.
        """
        try:
            while True:
                await self._acquire()
                log.info("leading as %s", self._identity)
                await self._lead(work)
                log.warning("not leading any more: the Lease could not be renewed in time")
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110  the Lease is polled, as everywhere
            await asyncio.sleep(RETRY_SECONDS * (1 + 0.2 * self._jitter()))

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        try:
            while self.leading():
                left = self._until - self._clock()
                done, _ = await asyncio.wait({task}, timeout=min(RETRY_SECONDS, left))
                if done:
                    return task.result()
                await self._renew()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _renew(self) -> None:
        left = self._until - self._clock()
        if left <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                if not await self._try() and self._held_by_other():
                    self._until = 0.0

    async def _try(self) -> bool:
        """Take or renew the Lease if we may; return whether we hold it."""
        asked = self._clock()
        try:
            record = await self._store.read()
            if record != self._record:
                self._record, self._seen = record, self._clock()
            if self._held_by_other() and self._clock() < self._seen + LEASE_SECONDS:
                return False
            self._record = await self._store.write(self._next())
        except Conflict:
            return False
        except KubeError as error:
            log.warning("%s; the Lease is not renewed, trying again", error)
            return False
        self._seen = asked
        self._until = asked + RENEW_DEADLINE_SECONDS
        return True

    def _held_by_other(self) -> bool:
        return self._record is not None and self._record.holder not in ("", self._identity)

    def _next(self) -> Record:
        now, last = self._now(), self._record
        if last is None:
            return Record(self._identity, LEASE_SECONDS, now, now, transitions=0)
        if last.holder == self._identity:
            return replace(last, renewed=now)
        return Record(self._identity, LEASE_SECONDS, now, now, last.transitions + 1, last.version)

    async def _release(self) -> None:
        self._until = 0.0
        last = self._record
        if last is None or last.holder != self._identity:
            return
        with contextlib.suppress(KubeError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.write(replace(last, holder="", seconds=1.0, renewed=self._now()))
                log.info("gave the Lease back")
