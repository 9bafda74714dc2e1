"""How far confidences and outcomes are from what the calibration state was made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hybrid_router.table import BINS
from hybrid_router.telemetry.series import Counter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry

    from hybrid_router.table import Calibration

LEAST_SCORES: Final = 200
"""Below so many scores an index would be noise."""
MEMORY: Final = 5_000.0
"""When so many are counted, all are halved: what people ask changes."""
SMOOTHING: Final = 0.5
"""Added to every bin, so that an empty one is no infinite drift."""
MOST_STATES: Final = 32
"""States that are told apart in metrics; later ones are `other`."""


def population_stability(expected: Sequence[float], seen: Sequence[float]) -> float:
    """Return the population stability index of two histograms with the same bins.

    The sum of (seen - expected) * ln(seen / expected) over the bins' shares: below 0.1 little has
    changed, above 0.25 much (the usual reading in credit scoring).
    """
    total, other = (sum(h) + SMOOTHING * len(h) for h in (expected, seen))
    index = 0.0
    for was, now in zip(expected, seen, strict=True):
        e, s = (was + SMOOTHING) / total, (now + SMOOTHING) / other
        index += (s - e) * math.log(s / e)
    return index


class Drift(Collector):
    """The router's scores against the state's, and confidences against outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen = [0.0] * BINS
        self._total = 0.0
        self._stated, self._state = "", None  # type: str, Calibration | None
        self._known: dict[str, str] = {"": "none"}
        self._outcomes = Counter(
            "hinf_router_outcomes",
            "Answers judged, by who judged, whose answer it was, verdict and calibration state.",
            ("source", "side", "verdict", "state"),
            registry=registry,
        )
        self._errors = Counter(
            "hinf_router_outcome_squared_error",
            "Sum of (confidence - outcome)^2 over local answers judged; by their number: Brier.",
            ("state",),
            registry=registry,
        )
        registry.register(self)

    def against(self, stated: str, state: Calibration | None) -> None:
        """Measure against this state from now on.

        Args:
            stated: digest of the table's state; empty without one.
            state: it, if it is applied; None where it belongs to another model.
        """
        self._stated, self._state = stated, state
        if len(self._known) < MOST_STATES:
            self._known.setdefault(stated[:8], stated)

    def saw(self, score: float) -> None:
        """Count a confidence as the classifier said it."""
        self._seen[min(int(score * BINS), BINS - 1)] += 1.0
        self._total += 1.0
        if self._total > MEMORY:
            self._seen = [count / 2 for count in self._seen]
            self._total /= 2

    def judged(self, source: str, side: str, score: float, said: float, state: str) -> None:
        """Count an outcome.

        Args:
            source: how it became known, of a closed set.
            side: whose answer it was: `local` or `api`.
            score: the outcome, from 0 to 1.
            said: the confidence that the decision was made by.
            state: the first 8 digits of the state's digest that was in force; empty for none.
        """
        name = self._known.get(state, "other")
        verdict = "good" if score >= 0.5 else "bad"  # noqa: PLR2004  the middle
        self._outcomes.labels(source, side, verdict, name).inc()
        if side == "local":
            self._errors.labels(name).inc((said - score) ** 2)

    @property
    def index(self) -> float | None:
        """The population stability index; None without a state, or with too few scores."""
        reference = self._state.reference if self._state is not None else ()
        if not reference or self._total < LEAST_SCORES:
            return None
        return population_stability(reference, self._seen)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges as Prometheus' client writes them."""
        info = GaugeMetricFamily(
            "hinf_router_calibration_info",
            "The table's calibration state; 1 if it is applied, 0 if it is of another model.",
            labels=("state",),
        )
        if self._stated:
            info.add_metric((self._stated,), float(self._state is not None))
        yield info
        drift = GaugeMetricFamily(
            "hinf_router_score_drift",
            "Population stability index of confidences against those the state was made of.",
        )
        if (index := self.index) is not None:
            drift.add_metric((), index)
        yield drift
