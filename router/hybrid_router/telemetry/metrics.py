"""The router's metrics, in Prometheus' text format.

Labels come from the table and from closed sets, never from what a client writes: a client cannot
make series. Children are looked up once and held, because finding them costs more than counting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    generate_latest,
)

from hybrid_router.core.breaker import Outcome
from hybrid_router.telemetry.decisions import Decisions
from hybrid_router.telemetry.diverted import Diverted
from hybrid_router.telemetry.drift import Drift
from hybrid_router.telemetry.genai import GenAI
from hybrid_router.telemetry.judged import Judged
from hybrid_router.telemetry.series import Count, Counter, Distribution, Histogram

if TYPE_CHECKING:
    from hybrid_router.discovery.registry import Pool
    from hybrid_router.table import RouteTable

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN_MODEL: Final = "unknown"
"""The label of every model name that the table does not know."""

SECONDS: Final[tuple[float, ...]] = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""Histogram bounds for durations: those of OpenTelemetry's GenAI semantic conventions."""


class Metrics:
    """Everything that a router counts; also the `Observer` of its registry."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter(
            "hinf_router_requests",
            "Requests answered, by how they were decided.",
            ("surface", "model", "source", "reason", "status"),
            registry=own,
        )
        self._duration = Histogram(
            "hinf_router_request_duration_seconds",
            "From a request's first byte to the last byte of its answer.",
            ("surface", "source"),
            SECONDS,
            registry=own,
        )
        self._tokens = Counter(
            "hinf_router_tokens",
            "Tokens by kind: prompt, completion, and cached (prompt tokens read from a cache).",
            ("backend", "model", "kind"),
            registry=own,
        )
        self._estimated = Counter(
            "hinf_router_usage_estimated",
            "Answers whose tokens the router counted itself, because no usage arrived.",
            ("backend", "model"),
            registry=own,
        )
        self._attempts = Counter(
            "hinf_router_attempts",
            "Attempts at a backend by outcome: ok, failed, cancelled, client-error, overloaded.",
            ("backend", "outcome"),
            registry=own,
        )
        self._ttft = Histogram(
            "hinf_router_time_to_first_token_seconds",
            "From sending an attempt to the first event that carries something generated.",
            ("backend",),
            SECONDS,
            registry=own,
        )
        self.diverted, self.genai, self.decisions = Diverted(own), GenAI(own), Decisions(own)
        self._ways, self.drift = _Ways(own), Drift(own)
        self._state, self.judged = _State(own), Judged(own)
        self._models: frozenset[str] = frozenset()
        self._request_children: dict[tuple[str, str, str, str, int], Count] = {}
        self._duration_children: dict[tuple[str, str], Distribution] = {}
        self._token_children: dict[tuple[str, str], tuple[Count, Count, Count]] = {}
        self._attempt_children: dict[tuple[str, Outcome], Count] = {}
        self._ttft_children: dict[str, Distribution] = {}

    # What the data path counts.

    def request(
        self, surface: str, model: str, source: str, reason: str, status: int, seconds: float
    ) -> None:
        """Count an answered request.

        Args:
            surface: the endpoint's name, from the router's own closed set.
            model: as the client wrote it; a name that the table lacks becomes `unknown`.
            source: `local`, `api` or `none`.
            reason: a `core.decision.Reason`.
            status: of the HTTP response.
            seconds: from its first byte to the last byte of the answer.
        """
        if model not in self._models:
            model = UNKNOWN_MODEL
        key = (surface, model, source, reason, status)
        child = self._request_children.get(key)
        if child is None:
            child = self._requests.labels(surface, model, source, reason, str(status))
            self._request_children[key] = child
        child.value += 1
        timer = self._duration_children.get((surface, source))
        if timer is None:
            timer = self._duration.labels(surface, source)
            self._duration_children[surface, source] = timer
        timer.observe(seconds)

    def usage(
        self,
        backend: str,
        model: str,
        prompt: int,
        completion: int,
        cached: int = 0,
        *,
        estimated: bool = False,
    ) -> None:
        """Count an attempt's tokens; `model` is the name that the backend knows it by."""
        children = self._token_children.get((backend, model))
        if children is None:
            make = self._tokens.labels
            children = (
                make(backend, model, "prompt"),
                make(backend, model, "completion"),
                make(backend, model, "cached"),
            )
            self._token_children[backend, model] = children
        children[0].value += prompt
        children[1].value += completion
        children[2].value += cached
        if estimated:
            self._estimated.labels(backend, model).inc()

    def attempt(self, backend: str, outcome: Outcome, status: int | None = None) -> None:
        """Count an attempt; `status` is what the backend answered, if it did."""
        child = self._attempt_children.get((backend, outcome))
        if child is None:
            child = self._attempts.labels(backend, outcome.value)
            self._attempt_children[backend, outcome] = child
        child.value += 1
        if outcome is not Outcome.CANCELLED:
            self._state.seen(backend, outcome, status)

    def ttft(self, backend: str, seconds: float) -> None:
        """Observe the time to the first generated event."""
        child = self._ttft_children.get(backend)
        if child is None:
            child = self._ttft_children[backend] = self._ttft.labels(backend)
        child.observe(seconds)

    def resumed(self, backend: str, *, continued: bool) -> None:
        """Count a broken stream that could be continued by its token ids, and whether it was."""
        self._ways.broken_streams.labels(backend, "continued" if continued else "given-up").inc()

    def compared(self, outcome: str, usd: float) -> None:
        """Count a comparison of both sides: `judged`, `failed` or `no-money`; and what it cost."""
        self._ways.comparisons.labels(outcome).inc()
        self._ways.comparison_usd.labels().inc(usd)

    def data_class(self, name: str, action: str) -> None:
        """Count a class of data that a request holds; `name` is one of the policy's."""
        self._state.data_classes.labels(name, action).inc()

    def waiting(self, backend: str, change: int) -> None:
        """Count a request that begins, or ends, to wait for a place at a local backend."""
        self._ways.waiting.labels(backend).inc(change)

    def spans(self, outcome: str, count: int) -> None:
        """Count spans that a collector got (`sent`), or that nobody got (`dropped`)."""
        self._ways.spans.labels(outcome).inc(count)

    # What the registry reports.

    def table(self, table: RouteTable, table_hash: str) -> None:
        """Another table is in force."""
        self._models = frozenset(table.models)
        self._state.table(table, table_hash)

    def replicas(self, backend: str, count: int) -> None:
        """So many replicas may get requests."""
        self._state.replicas.labels(backend).set(count)

    def pool(self, pool: Pool) -> None:
        """Requests of a backend are counted here from now on."""
        self._state.in_flight.labels(pool.name).set_function(lambda: pool.tokens_in_flight)

    def secret_missing(self, backend: str, *, missing: bool) -> None:
        """A backend waits for its secret, or does not."""
        self._state.secret_missing.labels(backend).set(missing)

    def table_error(self, source: str) -> None:
        """Count a table that was refused; the last good one stays in force."""
        self._state.table_errors.labels(source).inc()

    def render(self) -> bytes:
        """Return everything in the text format of `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class _Ways:
    """What becomes of requests on their way."""

    def __init__(self, own: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "hinf_router_requests_waiting",
            "Requests that wait for a place at a local backend, or for its first replica.",
            ("backend",),
            registry=own,
        )
        self.broken_streams = Counter(
            "hinf_router_broken_streams",
            "Local streams that broke after their first token: continued elsewhere, or given up.",
            ("backend", "outcome"),
            registry=own,
        )
        self.spans = Counter(
            "hinf_router_spans",
            "OpenTelemetry spans, where they are switched on: sent, or dropped.",
            ("outcome",),
            registry=own,
        )

        self.comparisons = Counter(
            "hinf_router_comparisons",
            "Requests answered by both sides for a judge: judged, failed, or no money left today.",
            ("outcome",),
            registry=own,
        )
        self.comparison_usd = Counter(
            "hinf_router_comparison_usd",
            "What comparisons cost, in USD.",
            (),
            registry=own,
        )


class _State:
    """Gauges of what the router serves and how its backends do; the operator reads them."""

    def __init__(self, own: CollectorRegistry) -> None:
        self.data_classes = Counter(
            "hinf_router_data_classes",
            "Requests in which a class of the data policy was found, by what was done about it.",
            ("class", "action"), registry=own,
        )  # fmt: skip
        self._info = Gauge(
            "hinf_router_table_info",
            "The RouteTable in force; always 1.",
            ("hash", "generation"),
            registry=own,
        )
        self.table_errors = Counter(
            "hinf_router_table_errors",
            "RouteTables refused; the last good one stayed in force.",
            ("source",),
            registry=own,
        )
        self.replicas = Gauge(
            "hinf_router_backend_replicas",
            "Replicas of a backend that may get requests.",
            ("backend",),
            registry=own,
        )
        self.in_flight = Gauge(
            "hinf_router_tokens_in_flight",
            "Tokens of the requests under way at a backend, estimated: prompts and answers.",
            ("backend",),
            registry=own,
        )
        self._up = Gauge(
            "hinf_router_backend_up",
            "1 if the last attempt at a backend was answered, 0 if not; absent before the first.",
            ("backend",),
            registry=own,
        )
        self.secret_missing = Gauge(
            "hinf_router_secret_missing",
            "1 if a backend is not used because its secret or CA file is missing.",
            ("backend",),
            registry=own,
        )
        self._last_status = Gauge(
            "hinf_router_backend_last_status",
            "Always 1; status is what the last attempt ended with: an HTTP status, or its outcome.",
            ("backend", "status"),
            registry=own,
        )
        self._backends: frozenset[str] = frozenset()
        self._last: dict[str, str] = {}

    def table(self, table: RouteTable, table_hash: str) -> None:
        """Name the table in force and forget the backends that it no longer has."""
        self._info.clear()
        self._info.labels(table_hash, str(table.generation)).set(1)
        present = frozenset(table.backends)
        for backend in self._backends - present:
            self._forget(backend)
        self._backends = present

    def seen(self, backend: str, outcome: Outcome, status: int | None) -> None:
        """Take the outcome of the last attempt; cheap when it is like the one before."""
        text = outcome.value if status is None else str(status)
        last = self._last.get(backend)
        if text == last or backend not in self._backends:
            return
        if last is not None:
            self._last_status.remove(backend, last)
        self._last[backend] = text
        self._last_status.labels(backend, text).set(1)
        self._up.labels(backend).set(outcome in (Outcome.OK, Outcome.CLIENT_ERROR))

    def _forget(self, backend: str) -> None:
        self.replicas.remove(backend)
        self.in_flight.remove(backend)
        self.secret_missing.remove(backend)
        last = self._last.pop(backend, None)
        if last is not None:
            self._last_status.remove(backend, last)
            self._up.remove(backend)
