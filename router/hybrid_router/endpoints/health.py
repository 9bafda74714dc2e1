"""GET /healthz, /readyz and /metrics: answered under overload and while draining, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from hybrid_router.datapolicy.source import Gates
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.telemetry.metrics import Metrics

_TEXT = b"content-type: text/plain; charset=utf-8\r\n"
_METRICS = f"content-type: {CONTENT_TYPE}\r\n".encode()


class Health:
    """Whether the router lives, whether it may get requests, and what it counted."""

    def __init__(self, registry: Registry, metrics: Metrics, gates: Gates) -> None:
        self._registry = registry
        self._metrics = metrics
        self._gates = gates
        self._gated = False  # a policy that comes later makes no router unready
        self.draining = False

    def live(self, exchange: Exchange) -> None:
        """Say that the event loop turns."""
        exchange.reply(200, _TEXT, b"ok\n")

    def ready(self, exchange: Exchange) -> None:
        """Say whether a table is in force with its data policy, and that no end is near."""
        if self.draining:
            exchange.reply(503, _TEXT, b"shutting down\n")
        elif not self._registry.ready:
            exchange.reply(503, _TEXT, b"no route table yet\n")
        elif not self._gated and not self._gates.ready:
            exchange.reply(503, _TEXT, b"the data policy is being compiled\n")
        else:
            self._gated = True
            exchange.reply(200, _TEXT, b"ready\n")

    def metrics(self, exchange: Exchange) -> None:
        """Show the metrics in Prometheus' text format."""
        exchange.reply(200, _METRICS, self._metrics.render())
