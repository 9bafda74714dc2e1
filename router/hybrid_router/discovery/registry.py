"""What this router serves at the moment: the table in force and the replicas behind each backend.

A new table or new endpoints keep the state of the replicas that stay (outstanding tokens, breaker).
Replicas that go get no new requests and finish those they have. Everything here runs on the event
loop's thread.
"""

from __future__ import annotations

import logging
import math
import random
import time
from typing import TYPE_CHECKING, Final, Literal, Protocol

from hybrid_router.core.balance import choose
from hybrid_router.core.breaker import Breaker
from hybrid_router.core.limits import Meter, Reservation
from hybrid_router.core.prefill import Prefill
from hybrid_router.core.ramp import Ramp
from hybrid_router.discovery.replica import Replica
from hybrid_router.discovery.secrets import SecretMissing, Secrets
from hybrid_router.discovery.trust import Trust, TrustMissing
from hybrid_router.table import Backend, Policy, RouteTable, content_hash, decode
from hybrid_router.upstream.queue import Queue

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Container, Mapping, Sequence

    from hybrid_router.core.balance import Prefix
    from hybrid_router.discovery.endpoints import Address
    from hybrid_router.table import Service

_log: Final = logging.getLogger(__name__)

Source = Literal["file", "watch"]


class Observer(Protocol):
    """Who is told what changed; the metrics are."""

    def table(self, table: RouteTable, table_hash: str) -> None:
        """Another table is in force."""

    def replicas(self, backend: str, count: int) -> None:
        """So many replicas may get requests."""

    def pool(self, pool: Pool) -> None:
        """Requests of a backend are counted here from now on."""

    def secret_missing(self, backend: str, *, missing: bool) -> None:
        """A backend's key (or its certificate authority) is missing, or is there again."""


class Pool:
    """The replicas of one backend."""

    def __init__(self, name: str, backend: Backend, draw: Callable[[], float]) -> None:
        self.name = name
        self.backend = backend
        self.tls: ssl.SSLContext | None = None
        self.in_flight = 0
        """Requests under way, at replicas that have gone since included."""
        self.tokens_in_flight = 0
        """Theirs, as estimated before they were sent: of prompts, and of answers to come."""
        self.meter = Meter()
        """What of the account's limits this router uses."""
        self.routers = 1
        """Routers that share these limits."""
        self.places: int | None = None
        """Requests that this router may have under way here; None: any number."""
        self.replicas: tuple[Replica, ...] = ()
        self.queue = Queue()
        """Requests that wait for a place here."""
        self.prefill = Prefill()
        self._draw = draw
        self.ramp = Ramp(draw)
        self._auth: tuple[bytes, bytes] | None = None
        self._missing: SecretMissing | None = None

    def pick(
        self, now: float, exclude: Container[str], prefix: Prefix | None = None, tokens: int = 0
    ) -> Replica | None:
        """Return the replica for a request that is sent now; None if none takes one.

        Args:
            now: seconds of the monotonic clock.
            exclude: URLs of replicas that this request has tried already.
            prefix: how the request begins, where one replica may know that already.
            tokens: that the request will probably take.
        """
        if self._is_shut(now, tokens):
            return None
        usable: Sequence[Replica] = [
            r for r in self.replicas if r.breaker.allows(now) and r.url not in exclude
        ]
        if self.ramp.active and len(usable) > 1:
            usable = self.ramp.candidates(usable, now)
        chosen = choose(usable, prefix, tokens, self._draw)
        if chosen is not None:
            chosen.breaker.admit(now)
        return chosen

    def available(self, now: float) -> bool:
        """Return whether `pick` would find a replica, now or after a while in the queue."""
        if self.full and self.backend.trust == "internal" and not self.queue.full:
            return True
        if self._is_shut(now):
            return False
        if not self.replicas:
            self.ramp.missed()
        for replica in self.replicas:  # noqa: SIM110  a generator costs as much as all of this
            if replica.breaker.allows(now):
                return True
        return False

    @property
    def full(self) -> bool:
        """Whether as many requests are under way as may be."""
        places = self.places
        return places is not None and self.in_flight >= places and bool(self.replicas)

    @property
    def asleep(self) -> bool:
        """Whether it has no replica that a cluster could not start."""
        return not self.replicas and self.backend.service is not None

    def wait(self, now: float) -> float:
        """Return the seconds until a breaker and the account's limits let a request through."""
        limits = self.backend.rate_limits
        limited = self.meter.wait(limits, self.routers, 1, now) if limits is not None else 0.0
        return max(limited, min((r.breaker.wait(now) for r in self.replicas), default=0.0))

    def reserve(self, tokens: int, now: float) -> Reservation | None:
        """Set aside what a request will take of the account's limits; None without limits."""
        return self.meter.reserve(tokens, now) if self.backend.rate_limits is not None else None

    def auth_header(self) -> tuple[bytes, bytes] | None:
        """Return the header that carries this backend's key; None if it needs none.

        Raises:
            SecretMissing: it needs one, and the secret is not there.
        """
        if self._missing is not None:
            raise SecretMissing(self._missing.name)
        return self._auth

    @property
    def secret_missing(self) -> bool:
        """Whether requests wait for a secret to appear."""
        return self._missing is not None

    def configure(self, backend: Backend, policy: Policy) -> None:
        """Take over another table's description."""
        self.backend = backend
        self.prefill.expect(backend.prefill_tokens_per_second, backend.begin_within)
        for replica in self.replicas:
            replica.breaker.limit = policy.breaker_failures
            replica.breaker.cooldown = backend.cooldown

    def locate(self, urls: Sequence[str], policy: Policy) -> None:
        """Serve by these replicas from now on; those that stay keep their state."""
        known = {replica.url: replica for replica in self.replicas}
        self.replicas = tuple(
            known.get(url)
            or Replica(url, self, Breaker(policy.breaker_failures, self.backend.cooldown))
            for url in dict.fromkeys(urls)
        )
        self.ramp.came(self.replicas, known.values(), time.monotonic())
        self.share(self.routers)

    def share(self, routers: int) -> None:
        """Take this router's part of what the replicas take at once; wake whom there is room for.

        Those woken in vain would come back in the reverse order.
        """
        self.routers = routers
        each, free = self.backend.max_concurrency, len(self.queue)
        self.places = None
        if each is not None:
            self.places = max(1, math.ceil(each * len(self.replicas) / routers))
            free = self.places - self.in_flight
        if self.replicas:
            self.queue.wake(free)

    def refresh(self, secrets: Secrets, trust: Trust) -> None:
        """Take the key and the certificate authorities as they are now."""
        try:
            self._auth = secrets.header(self.backend)
            self.tls = _tls(self, trust)
            self._missing = None
        except SecretMissing as missing:
            self._auth, self.tls, self._missing = None, None, missing

    def _is_shut(self, now: float, tokens: int = 1) -> bool:
        """Return whether nothing may be sent, whatever the replicas could take."""
        if self._missing is not None:
            return True
        if self.places is not None and self.in_flight >= self.places:
            return True
        limits = self.backend.rate_limits
        return limits is not None and self.meter.wait(limits, self.routers, tokens, now) > 0


class Registry:
    """The table in force and its pools.

    Args:
        observer: told of every change.
        secrets: where keys are found.
        trust: where certificate authorities are found.
        draw: returns a float in [0, 1); chooses replicas.
    """

    def __init__(
        self,
        observer: Observer,
        secrets: Secrets | None = None,
        trust: Trust | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.table = RouteTable()
        self.table_hash = ""
        self.ready = False
        """Whether a table was ever loaded."""
        self.routers = 1
        """Routers that are ready, this one included: they share every limit."""
        self._observer = observer
        self._secrets = secrets or Secrets()
        self._trust = trust or Trust()
        self._draw = draw
        self._watched = False
        self._pools: dict[str, Pool] = {}
        self._addresses: dict[tuple[str, str], tuple[Address, ...]] = {}
        self._listeners: list[Callable[[RouteTable], None]] = []

    def pool(self, backend_name: str) -> Pool:
        """Return the pool of a backend; an empty one if the table in force has none such."""
        found = self._pools.get(backend_name)
        return found or Pool(backend_name, Backend(trust="external"), self._draw)

    def available(self, backend_name: str) -> bool:
        """Return whether a backend would take a request now."""
        found = self._pools.get(backend_name)
        return found is not None and found.available(time.monotonic())

    def listen(self, listener: Callable[[RouteTable], None]) -> None:
        """Call `listener` after every change of table."""
        self._listeners.append(listener)

    def offer(self, document: bytes, source: Source) -> bool:
        """Put a table in force, unless a newer one is; return whether it was.

        The watch is always right: it reads the API server. A file may be a slow copy of what the
        watch has brought, so that after the watch it only wins by a higher generation.

        Raises:
            hybrid_router.table.TableError: it cannot be served; the last good one stays in force.
        """
        table = decode(document)
        if source == "watch":
            self._watched = True
        elif self._watched and table.generation <= self.table.generation:
            return False
        digest = content_hash(document)
        if self.ready and digest == self.table_hash:
            return False
        self._apply(table, digest)
        _log.info(
            "table %s of %s in force: hash %s, generation %d, %d models, %d backends",
            source, table.name, digest, table.generation, len(table.models), len(table.backends),
        )  # fmt: skip
        return True

    def locate(self, namespace: str, service: str, addresses: Sequence[Address]) -> None:
        """Take the ready addresses of a Service as they are now."""
        found = tuple(addresses)
        if (namespace, service) not in self.services():
            return
        if self._addresses.get((namespace, service)) == found:
            return
        self._addresses[namespace, service] = found
        self._count_routers()
        for pool in self._pools.values():
            at = pool.backend.service
            if at is not None and (at.namespace, at.name) == (namespace, service):
                self._place(pool)

    def services(self) -> frozenset[tuple[str, str]]:
        """Return namespace and name of the Services whose endpoints the table needs."""
        named = [backend.service for backend in self.table.backends.values()]
        named.append(self.table.routers)
        return frozenset((s.namespace, s.name) for s in named if s is not None)

    def poll(self) -> None:
        """Look whether secrets or certificate authorities changed on disk."""
        secrets, trust = self._secrets.poll(), self._trust.poll()
        if secrets or trust:
            for pool in self._pools.values():
                self._refresh(pool)

    def _apply(self, table: RouteTable, digest: str) -> None:
        old, self._pools = self._pools, {}
        self.table, self.table_hash, self.ready = table, digest, True
        backends = table.backends.values()
        self._secrets.follow(b.api_key for b in backends if b.api_key is not None)
        self._trust.follow(b.ca_file for b in backends if b.ca_file is not None)
        for name, backend in table.backends.items():
            pool = self._inherit(old, name, backend)
            pool.configure(backend, table.policy)
            self._pools[name] = pool
            self._observer.pool(pool)
            self._place(pool)
            self._refresh(pool)
        needed = self.services()
        self._addresses = {at: a for at, a in self._addresses.items() if at in needed}
        self._count_routers()
        self._observer.table(table, digest)
        for listener in self._listeners:
            listener(table)

    def _count_routers(self) -> None:
        at = self.table.routers
        known = self._addresses.get((at.namespace, at.name), ()) if at is not None else ()
        self.routers = max(1, len(known))
        for pool in self._pools.values():
            pool.share(self.routers)

    def _inherit(self, old: Mapping[str, Pool], name: str, backend: Backend) -> Pool:
        """Return the pool that stays; never one that was inside and is outside now."""
        found = old.get(name)
        if found is not None and found.backend.trust == backend.trust:
            return found
        return Pool(name, backend, self._draw)

    def _place(self, pool: Pool) -> None:
        backend = pool.backend
        if backend.service is None:
            urls = [url.rstrip("/") for url in backend.urls]
        else:
            at = backend.service
            urls = _urls(at, self._addresses.get((at.namespace, at.name), ()))
        pool.locate(urls, self.table.policy)
        self._observer.replicas(pool.name, len(pool.replicas))

    def _refresh(self, pool: Pool) -> None:
        was_missing = pool.secret_missing
        pool.refresh(self._secrets, self._trust)
        self._observer.secret_missing(pool.name, missing=pool.secret_missing)
        if pool.secret_missing and not was_missing:
            _log.warning(
                "backend %s waits for its secret or CA file, which is missing",
                pool.name,
            )
        elif was_missing and not pool.secret_missing:
            _log.info("backend %s: its secret is there", pool.name)


def _urls(service: Service, addresses: Sequence[Address]) -> list[str]:
    ports = ((address, address.port(service.port)) for address in addresses)
    return [f"http://{address.host}:{port}/v1" for address, port in ports if port is not None]


def _tls(pool: Pool, trust: Trust) -> ssl.SSLContext | None:
    if not any(replica.url.startswith("https:") for replica in pool.replicas):
        return None
    try:
        return trust.context(pool.backend.ca_file)
    except TrustMissing as missing:
        raise SecretMissing(missing.name) from None
