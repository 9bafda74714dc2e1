"""Metrics under the names of OpenTelemetry's GenAI semantic conventions, as Prometheus writes them.

They say of every attempt that was answered what the router's own metrics say, for dashboards that
know the conventions. Bounds are those that the conventions advise (opentelemetry.io/docs/specs/
semconv/gen-ai/gen-ai-metrics).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hybrid_router.telemetry.series import Distribution, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_TOKENS: Final = tuple(float(4**power) for power in range(14))
_SECONDS: Final[tuple[float, ...]] = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_FIRST: Final[tuple[float, ...]] = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_EACH: Final[tuple[float, ...]] = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
_LABELS: Final[tuple[str, ...]] = (
    "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model",
)  # fmt: skip
OPERATIONS: Final = {"completions": "text_completion", "embeddings": "embeddings"}
"""`gen_ai.operation.name` by surface; `chat` for all others."""


class Who(NamedTuple):
    """Whom an attempt asked for what."""

    kind: str
    """The surface: `chat`, `completions`, `embeddings` and others."""
    provider: str
    model: str


class GenAI:
    """The histograms, and their series by whom they are of."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of an answered attempt.",
            (*_LABELS, "gen_ai_token_type"),
            _TOKENS,
            registry=own,
        )
        self._duration, self._first, self._each = (
            Histogram(name, text, _LABELS, bounds, registry=own)
            for name, text, bounds in (
                ("gen_ai_server_request_duration_seconds", "Of an answered attempt.", _SECONDS),
                ("gen_ai_server_time_to_first_token_seconds", "Of a streamed attempt.", _FIRST),
                (
                    "gen_ai_server_time_per_output_token_seconds",
                    "Of a streamed attempt, after its first token.",
                    _EACH,
                ),
            )
        )
        self._series: dict[Who, tuple[Distribution, ...]] = {}

    def answered(
        self, who: Who, prompt: int, completion: int, seconds: float, first: float | None
    ) -> None:
        """Observe an answered attempt; `first` is the time to the first token of a stream."""
        series = self._series.get(who)
        if series is None:
            series = self._series[who] = self._make(who)
        series[0].observe(prompt)
        series[1].observe(completion)
        series[2].observe(seconds)
        if first is not None:
            series[3].observe(first)
            if completion > 1:
                series[4].observe(max(0.0, seconds - first) / (completion - 1))

    def _make(self, who: Who) -> tuple[Distribution, ...]:
        labels = (OPERATIONS.get(who.kind, "chat"), who.provider, who.model)
        return (
            self._usage.labels(*labels, "input"),
            self._usage.labels(*labels, "output"),
            self._duration.labels(*labels),
            self._first.labels(*labels),
            self._each.labels(*labels),
        )
