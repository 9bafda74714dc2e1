"""Spans in OTLP's JSON form, and the task that brings them to a collector over HTTP.

OTLP/HTTP with JSON (`http/json` in OpenTelemetry's words): opentelemetry.io/docs/specs/otlp. A span
is encoded when its request has ended, so that no batch holds the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.upstream.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.client import UpstreamClient

Attribute = str | int | float | bool | tuple[str, ...]

MOST_WAITING = 4096
"""Requests whose spans wait for the collector; one more is dropped."""
MOST_AT_ONCE = 512
"""Requests whose spans go out in one message."""
PAUSE_SECONDS = 1.0
"""Between two messages; the collector's own batching is for more."""
TIMEOUT_SECONDS = 10.0
"""The default of `OTEL_EXPORTER_OTLP_TIMEOUT`."""
LAST_SECONDS = 2.0
"""For what is left when the router stops."""

_LATER = frozenset({429, 502, 503, 504})
"""Answers after which the same spans may be sent again (OTLP, "retryable response codes")."""
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Span(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One span as OTLP writes it in JSON: ids in hex, 64-bit numbers as strings."""

    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[dict[str, object]]
    parent_span_id: str = ""
    status: dict[str, int] = {}


SERVER, CLIENT = 2, 3
"""Kinds of spans."""
ERROR = {"code": 2}


def attributes(given: Mapping[str, Attribute | None]) -> list[dict[str, object]]:
    """Return attributes as OTLP writes them; those that are None or empty are left out."""
    return [
        {"key": key, "value": _value(value)}
        for key, value in given.items()
        if value is not None and value not in ("", ())
    ]


def _value(value: Attribute) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [{"stringValue": each} for each in value]}}
    return {"stringValue": value}


class Exporter:
    """Sends spans to a collector, and drops them rather than let them pile up.

    Args:
        url: of the collector, path included.
        headers: for the collector, such as its key.
        resource: attributes of this router.
        client: keeps the connection.
        metrics: count what becomes of spans.
    """

    def __init__(
        self,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        resource: Mapping[str, str],
        client: UpstreamClient,
        metrics: Metrics,
    ) -> None:
        self._url = url
        self._headers = (*headers, (b"content-type", b"application/json"))
        head = _encode({"attributes": attributes(dict(resource))})
        self._head = (
            b'{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":{"name":"hybrid_router"},'
            b'"spans":[' % head
        )
        self._client = client
        self._metrics = metrics
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._failing = False
        self._task = asyncio.create_task(self._run(), name="export spans")

    def add(self, spans: Sequence[Span]) -> None:
        """Take the spans of a request that has ended."""
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.spans("dropped", len(spans))
            return
        self._waiting.append((len(spans), b",".join(map(_encode, spans))))

    async def close(self) -> None:
        """Send what is left, if that is quickly done, and stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting and await self._send(LAST_SECONDS):
            pass
        self._metrics.spans("dropped", sum(count for count, _ in self._waiting))
        self._waiting.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            while self._waiting and await self._send(TIMEOUT_SECONDS):
                pass

    async def _send(self, seconds: float) -> bool:
        """Send one message; return whether the collector is there for another one."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        body = self._head + b",".join(encoded for _, encoded in batch) + b"]}]}]}"
        try:
            answer = await self._client.fetch(
                "POST", self._url, headers=self._headers, body=body, timeout=seconds
            )
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except UpstreamError as error:
            status, why = 0, str(error)
        else:
            status, why = answer.status, f"it answered {answer.status}"
        count = sum(count for count, _ in batch)
        if 200 <= status < 300:  # noqa: PLR2004  success
            self._metrics.spans("sent", count)
            self._failing = False
            return True
        if not self._failing:
            _log.warning("the collector of spans at %s takes none: %s", self._url, why)
            self._failing = True
        if not status or status in _LATER:
            self._waiting.extendleft(reversed(batch))
        else:
            self._metrics.spans("dropped", count)
        return False
