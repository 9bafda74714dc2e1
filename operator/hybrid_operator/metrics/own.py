"""The operator's own metrics."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from hybrid_operator.metrics.scaling import ScalingMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STATES = ("waiting", "failed", "current")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class OwnMetrics:
    """What the operator counts; labels come from closed sets."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._reconciles = Counter(
            "hinf_operator_reconciles",
            "Reconciliations by outcome: unchanged, changed, failed, or waited for routers.",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "hinf_operator_reconcile_duration_seconds",
            "Duration of one reconciliation.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._writes = Counter(
            "hinf_operator_writes",
            "Writes sent to the API server, Lease renewals aside.",
            ("kind", "verb"),
            registry=registry,
        )
        self._depth = Gauge(
            "hinf_operator_queue_depth",
            "Resources that wait for a reconciliation, those for a later time included.",
            registry=registry,
        )
        self._resources = Gauge(
            "hinf_operator_resources",
            "Resources by state: waiting to be judged since we lead, failed, or current.",
            ("state",),
            registry=registry,
        )
        self.scaling = ScalingMetrics(registry)
        self._leader = Gauge(
            "hinf_operator_leader", "1 while this process leads, else 0.", registry=registry
        )

    def write(self, kind: str, verb: str) -> None:
        """Count a write."""
        self._writes.labels(kind, verb).inc()

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count a reconciliation; `outcome` is unchanged, changed, failed or waited."""
        self._reconciles.labels(outcome).inc()
        self._seconds.observe(seconds)

    def follow(
        self,
        depth: Callable[[], float],
        leading: Callable[[], bool],
        states: Callable[[], Mapping[str, int]],
    ) -> None:
        """Ask these whenever the metrics are read."""
        self._leading = leading
        for state in STATES:
            self._resources.labels(state).set_function(partial(_count, states, state))
        self._depth.set_function(depth)
        self._leader.set_function(leading)

    @property
    def leading(self) -> bool:
        """Whether this process leads."""
        return self._leading()

    @contextlib.contextmanager
    def served(self, port: int) -> Iterator[None]:
        """Serve /metrics on all addresses meanwhile, in a thread; port 0: not at all.

        Raises:
            OSError: the port is taken.
        """
        if not port:
            yield
            return
        server, thread = start_http_server(port, registry=self._registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _count(states: Callable[[], Mapping[str, int]], state: str) -> float:
    return states().get(state, 0)
