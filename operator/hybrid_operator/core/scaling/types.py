"""What a scaling decision depends on, and what it says.

Demand is measured in *replicas' worth of work*: engine-seconds a second. A replica that prefills P
and decodes D tokens/s does `prompt / P + generated / D` engine-seconds of work for a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

Reason = Literal[
    "Demand",
    "Panic",
    "Price",
    "CostGuard",
    "LocalOnly",
    "SLO",
    "Schedule",
    "Forecast",
    "Idle",
    "Wake",
    "Stabilising",
    "StepLimit",
    "Bounds",
    "Pool",
    "NoMetrics",
]
"""Why that many replicas: one word for programs; `Decision.message` is for people."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of one model between two looks."""

    seconds: float
    """Time that it covers."""
    demand: float
    """Replicas' worth of work that was asked for: served, waiting, and diverted to an API although
    a local model could have done it."""
    api_usd: float | None = 0.0
    """What an API would take for all of that work, in USD per second; None: nobody stated it."""
    local_only: float = 0.0
    """The part of `demand` that no API may serve."""
    replicas: int = 0
    """Asked of Kubernetes at the moment."""
    ready: int = 0
    requests: bool = True
    """Whether there was any request."""
    ttft_seconds: float | None = None
    """Time to first token, at the percentile of `Objectives`; None without requests."""
    itl_seconds: float | None = None
    """Time between tokens, at the same percentile."""
    tokens_in_flight: float = 0.0
    """Of requests that routers sent and that are under way; told, and decides nothing: `demand` has
    their work as it is done, and what waits."""
    complete: bool = True
    """Whether every ready engine and router told. If not, nothing is scaled down."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What answers must be like; None: no objective."""

    ttft_seconds: float | None = None
    itl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """A time of the week for which a least number of replicas is asked for."""

    days: frozenset[int]
    """0 is Monday."""
    begin: int
    """Minute of the day."""
    end: int
    """Minute of the day at which it ends; at most `begin`: on the next day."""
    least: int
    zone: tzinfo = UTC
    """Whose days and minutes these are."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user asked for, with defaults filled in."""

    least: int = 1
    most: int = 1
    utilization: float = 0.85
    """Share of a replica's capacity to plan for."""
    idle_seconds: float | None = None
    """Time without a request after which `least` 0 means zero. None: the price decides where there
    is one, else `policy.IDLE_SECONDS`."""
    gpu_hour_usd: float | None = None
    """Price of a replica for an hour. None: unknown; 0: owned. The cost guard acts on neither."""
    cold_start_seconds: float = 90.0
    """From asking for a replica until it serves, before one was seen to start."""
    objectives: Objectives = field(default_factory=Objectives)
    hints: tuple[Hint, ...] = ()
    forecast: bool = False
    """Whether the same time of earlier days counts."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas, and why."""

    replicas: int
    reason: Reason
    message: str
    """For people."""
    recommended: int
    """Before it was held or limited; remembered by `window.remember`."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What it was computed from, unit in the name."""
