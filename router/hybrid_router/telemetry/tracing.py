"""OpenTelemetry spans: one for each request, below it one for each attempt at a backend.

Off unless OpenTelemetry's own environment variables name a collector. Names and attributes are
those of the GenAI semantic conventions (opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans);
what they lack begins with `hybrid.`. Nothing of prompts, answers or keys is in any of them, and no
name that a client made up.

The OpenTelemetry SDK is not used: it brings an HTTP client with threads, TLS and proxies of its own
and 16 packages into a process that has one client for HTTP.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hybrid_router.telemetry.genai import OPERATIONS
from hybrid_router.telemetry.otlp import CLIENT, ERROR, SERVER, Exporter, Span, attributes
from hybrid_router.telemetry.trace import parent_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.discovery.registry import Pool
    from hybrid_router.discovery.replica import Replica
    from hybrid_router.openai.request import Call
    from hybrid_router.table import Target
    from hybrid_router.telemetry.access import Access
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.attempt import Ended
    from hybrid_router.upstream.client import UpstreamClient

_log = logging.getLogger(__name__)
_SERVER_ERROR = 500


class TracingError(ValueError):
    """An `OTEL_` variable has a value that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the environment says about spans.

    Attributes:
        url: of the collector, path included.
        headers: for it; they may hold its key.
        resource: attributes of this process.
        ratio: share of traces that are recorded where no parent decides.
        parent_based: whether a parent decides where there is one.
    """

    url: str
    headers: tuple[tuple[bytes, bytes], ...]
    resource: Mapping[str, str]
    ratio: float = 1.0
    parent_based: bool = True

    @staticmethod
    def read(environ: Mapping[str, str]) -> Tracing | None:
        """Return what OpenTelemetry's variables say; None where they name no collector.

        Raises:
            TracingError: one of them cannot be used.
        """
        given = {name: text for name, value in environ.items() if (text := value.strip())}
        url = given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        if url is None and "OTEL_EXPORTER_OTLP_ENDPOINT" in given:
            url = given["OTEL_EXPORTER_OTLP_ENDPOINT"].rstrip("/") + "/v1/traces"
        if url is None or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        if not url.startswith(("http://", "https://")):
            raise TracingError(
                f"OTEL_EXPORTER_OTLP_ENDPOINT is {url!r}: it must begin with http:// or https://"
            )
        protocol = given.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        if protocol != "http/json":
            _log.warning("OTEL_EXPORTER_OTLP_PROTOCOL is %s; spans go as http/json", protocol)
        text = given.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or given.get(
            "OTEL_EXPORTER_OTLP_HEADERS", ""
        )
        ratio, parent_based = _sampler(given)
        return Tracing(url, _headers(text), _resource(given), ratio, parent_based)


def _sampler(given: Mapping[str, str]) -> tuple[float, bool]:
    name = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    kind = name.removeprefix("parentbased_")
    if kind in {"always_on", "always_off"}:
        return float(kind == "always_on"), kind != name
    if kind != "traceidratio":
        raise TracingError(f"OTEL_TRACES_SAMPLER is {name!r}, which is no sampler known here")
    try:
        ratio = float(given.get("OTEL_TRACES_SAMPLER_ARG", "1"))
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise TracingError("OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1")
    return ratio, kind != name


def _pairs(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _headers(text: str) -> tuple[tuple[bytes, bytes], ...]:
    found = _pairs(text)
    for name, value in found.items():
        if not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise TracingError("OTEL_EXPORTER_OTLP_HEADERS holds what cannot stand in a header")
    return tuple((name.lower().encode(), value.encode()) for name, value in found.items())


def _resource(given: Mapping[str, str]) -> dict[str, str]:
    known = {
        "service.name": "hinf-router",
        "service.instance.id": given.get("POD_NAME", ""),
        "k8s.pod.name": given.get("POD_NAME", ""),
        "k8s.namespace.name": given.get("POD_NAMESPACE", ""),
    }
    found = known | _pairs(given.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if "OTEL_SERVICE_NAME" in given:
        found["service.name"] = given["OTEL_SERVICE_NAME"]
    return found


class Tracer:
    """Begins the spans of requests, as far as they are sampled."""

    def __init__(self, tracing: Tracing, client: UpstreamClient, metrics: Metrics) -> None:
        self._tracing = tracing
        self._exporter = Exporter(tracing.url, tracing.headers, tracing.resource, client, metrics)

    def begin(self, headers: Mapping[bytes, bytes]) -> Spans | None:
        """Return a request's spans; None where they are not recorded."""
        parent = parent_of(headers)
        trace = parent.trace if parent is not None else os.urandom(16).hex()
        if parent is not None and self._tracing.parent_based:
            sampled = parent.sampled
        else:
            # The lower 64 bits, as "TraceIdRatioBased" has it: routers agree about a trace.
            sampled = int(trace[16:], 16) < self._tracing.ratio * 2**64
        if not sampled:
            return None
        state = headers.get(b"tracestate") if parent is not None else None
        return Spans(trace, parent.span if parent is not None else "", state, self._exporter)

    async def close(self) -> None:
        """Send what is left, and stop."""
        await self._exporter.close()


class Spans:
    """The spans of one request."""

    __slots__ = ("_attempts", "_exporter", "_parent", "_span", "_state", "trace")

    def __init__(self, trace: str, parent: str, state: bytes | None, exporter: Exporter) -> None:
        self.trace = trace
        self._parent = parent
        self._span = os.urandom(8).hex()
        self._state = state
        self._exporter = exporter
        self._attempts: list[Span] = []

    def attempt(self, call: Call, target: Target, pool: Pool, replica: Replica) -> AttemptSpan:
        """Begin the span of an attempt."""
        return AttemptSpan(self, call, target, pool, replica)

    def context(self, span: str) -> bytes:
        """Return the header lines by which a backend's spans become children of `span`."""
        lines = b"traceparent: 00-%s-%s-01\r\n" % (self.trace.encode(), span.encode())
        state = self._state
        return lines + b"tracestate: %s\r\n" % state if state is not None else lines

    def attempted(self, span: Span) -> None:
        """Take the span of an attempt that has ended."""
        self._attempts.append(span)

    @property
    def span(self) -> str:
        """The id of the request's own span."""
        return self._span

    def end(self, access: Access) -> None:
        """End the request's span, and send all."""
        operation = OPERATIONS.get(access.surface, "chat")
        end = int(access.time * 1e9)
        failed = access.status >= _SERVER_ERROR or not access.status
        own = Span(
            trace_id=self.trace,
            span_id=self._span,
            parent_span_id=self._parent,
            name=f"{operation} {access.model}".rstrip(),
            kind=SERVER,
            start_time_unix_nano=str(end - int(access.seconds * 1e9)),
            end_time_unix_nano=str(end),
            status=ERROR if failed else {},
            attributes=attributes(
                {
                    "gen_ai.operation.name": operation,
                    "gen_ai.request.model": access.model,
                    "gen_ai.usage.input_tokens": access.prompt_tokens or None,
                    "gen_ai.usage.output_tokens": access.completion_tokens or None,
                    "http.request.method": "POST",
                    "http.response.status_code": access.status,
                    "error.type": str(access.status) if access.status >= 400 else None,  # noqa: PLR2004  errors
                    "hybrid.surface": access.surface,
                    "hybrid.request_id": access.request_id,
                    "hybrid.source": access.source,
                    "hybrid.backend": access.backend,
                    "hybrid.reason": access.reason,
                    "hybrid.confidence": access.confidence,
                    "hybrid.intent": access.intent,
                    "hybrid.rule": access.rule,
                    "hybrid.data_classes": access.data_classes,
                    "hybrid.attempts": access.attempts,
                    "hybrid.client": access.key,
                }
            ),
        )
        self._exporter.add([own, *self._attempts])


class AttemptSpan:
    """The span of one attempt.

    Attributes:
        context: header lines for a backend inside the cluster, so that its spans are children.
    """

    __slots__ = ("_began", "_call", "_pool", "_replica", "_span", "_spans", "_target", "context")

    def __init__(
        self, spans: Spans, call: Call, target: Target, pool: Pool, replica: Replica
    ) -> None:
        self._spans = spans
        self._call = call
        self._target = target
        self._pool = pool
        self._replica = replica
        self._span = os.urandom(8).hex()
        self._began = time.time_ns()
        self.context = spans.context(self._span)

    def end(self, ended: Ended | None) -> None:
        """End it; None: it was given up, because the client has left."""
        backend, model = self._pool.backend, self._target.model
        operation = OPERATIONS.get(self._call.kind, "chat")
        usage = ended.usage if ended is not None else None
        host, _, port = self._replica.url.partition("://")[2].partition("/")[0].rpartition(":")
        self._spans.attempted(
            Span(
                trace_id=self._spans.trace,
                span_id=self._span,
                parent_span_id=self._spans.span,
                name=f"{operation} {model}",
                kind=CLIENT,
                start_time_unix_nano=str(self._began),
                end_time_unix_nano=str(time.time_ns()),
                status=ERROR if _error(ended) else {},
                attributes=attributes(
                    {
                        "gen_ai.operation.name": operation,
                        "gen_ai.provider.name": backend.provider or backend.engine,
                        "gen_ai.request.model": model,
                        "gen_ai.usage.input_tokens": usage.prompt if usage else None,
                        "gen_ai.usage.output_tokens": usage.completion if usage else None,
                        "server.address": host or port,
                        "server.port": int(port) if host and port.isdigit() else None,
                        "http.request.method": "POST",
                        "http.response.status_code": (ended.status or None) if ended else None,
                        "error.type": _error(ended),
                        "hybrid.backend": self._pool.name,
                        "hybrid.time_to_first_token": ended.first_token if ended else None,
                    }
                ),
            )
        )


def _error(ended: Ended | None) -> str | None:
    """Return what went wrong, in a word."""
    if ended is None:
        return "cancelled"
    if ended.failure is not None:
        return ended.failure.cause.value
    if ended.broken:
        return "broken"
    return str(ended.status) if ended.status >= 400 else None  # noqa: PLR2004  errors
