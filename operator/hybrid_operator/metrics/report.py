"""Reading a router's metrics: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid_operator.core.state import BackendReport, Outcomes, RouterReport
from hybrid_operator.metrics.samples import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.metrics.samples import Sample

TABLE = "hinf_router_table_info"
UP = "hinf_router_backend_up"
REPLICAS = "hinf_router_backend_replicas"
SECRET_MISSING = "hinf_router_secret_missing"  # noqa: S105  the name of a metric
LAST_STATUS = "hinf_router_backend_last_status"
REQUESTS = "hinf_router_requests_total"
CALIBRATION = "hinf_router_calibration_info"
OUTCOMES = "hinf_router_outcomes_total"

_READ = (REQUESTS, OUTCOMES, CALIBRATION, TABLE, REPLICAS, UP, SECRET_MISSING, LAST_STATUS)
"""In the order in which a router writes them."""


class ReportError(ValueError):
    """The text is not what a router's /metrics says."""


@dataclass(slots=True)
class _Backend:
    up: bool | None = None
    replicas: int = 0
    secret_missing: bool = False
    last_status: int | None = None


@dataclass(slots=True)
class _Reading:
    table: Mapping[str, str] | None = None
    backends: dict[str, _Backend] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    states: dict[str, bool] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], float] = field(default_factory=dict)
    """By calibration state and verdict."""


def parse(pod: str, text: str) -> RouterReport:
    """Read the metrics of the router `pod`.

    Raises:
        ReportError: not Prometheus text, or nothing in it says which table is served.
    """
    try:
        reading = _Reading()
        for sample in Page(text).samples(*_READ):
            _take(reading, sample)
        report = _report(pod, reading)
    except (ValueError, KeyError, OverflowError) as error:
        raise ReportError(f"router {pod}: its metrics cannot be read ({error})") from None
    if report is None:
        raise ReportError(f"router {pod}: {TABLE} is missing from its metrics")
    return report


def _report(pod: str, reading: _Reading) -> RouterReport | None:
    if reading.table is None:
        return None
    return RouterReport(
        pod=pod,
        table_hash=reading.table["hash"],
        generation=int(reading.table["generation"]),
        backends=tuple(
            BackendReport(
                backend=name,
                up=seen.up,
                replicas=seen.replicas,
                secret_missing=seen.secret_missing,
                last_status=seen.last_status if seen.up is False else None,
            )
            for name, seen in sorted(reading.backends.items())
        ),
        local=int(reading.answered.get("local", 0)),
        api=int(reading.answered.get("api", 0)),
        states=reading.states,
        outcomes={
            state: Outcomes(
                int(reading.outcomes.get((state, "good"), 0)),
                int(reading.outcomes.get((state, "bad"), 0)),
            )
            for state in sorted({state for state, _ in reading.outcomes})
        },
    )


def _take(reading: _Reading, sample: Sample) -> None:
    labels, value = sample.labels, sample.value
    if sample.name == TABLE:
        if value == 1:
            reading.table = labels
        return
    if sample.name == REQUESTS:
        source = labels.get("source", "")
        reading.answered[source] = reading.answered.get(source, 0) + value
        return
    if sample.name == CALIBRATION:
        reading.states[labels["state"]] = value == 1
        return
    if sample.name == OUTCOMES:
        at = labels["state"], labels["verdict"]
        reading.outcomes[at] = reading.outcomes.get(at, 0) + value
        return
    backend = reading.backends.setdefault(labels["backend"], _Backend())
    if sample.name == UP:
        backend.up = value == 1
    elif sample.name == REPLICAS:
        backend.replicas = int(value)
    elif sample.name == SECRET_MISSING:
        backend.secret_missing = value == 1
    elif sample.name == LAST_STATUS:
        backend.last_status = _status(labels["status"])


def _status(text: str) -> int:
    """Return the HTTP status that a label names; 0 for an outcome without one."""
    return int(text) if text.isdigit() else 0
