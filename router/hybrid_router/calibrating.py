"""The calibration state in force: confidences corrected, thresholds by it, drift against it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.classify.cut import Cut
from hybrid_router.classify.identity import identity
from hybrid_router.classify.parameters import Point, shipped
from hybrid_router.core.calibration import correct

if TYPE_CHECKING:
    from hybrid_router.core.decision import Verdict
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.table import Calibration, RouteTable
    from hybrid_router.telemetry.metrics import Metrics

_log: Final = logging.getLogger(__name__)

UNCALIBRATED: Final = "-uncalibrated"
"""Ends the name of a classifier whose confidences nothing was fitted to."""


def cut(name: str, state: Calibration | None) -> Cut:
    """Return what makes thresholds of the classifier `name`, with the state in force."""
    curve = [Point(s.threshold, s.quality, s.local) for s in state.curve] if state else []
    return Cut(curve or (shipped().curve if name == "embedded" else ()))


def calibrated(verdict: Verdict, name: str, state: Calibration | None) -> Verdict:
    """Return a verdict of the classifier `name` with the confidence that outcomes speak for."""
    if verdict.confidence is None or verdict.classifier != name:
        return verdict
    if state is not None:
        return correct(state.maps, verdict)
    if name == "embedded":
        return verdict
    return msgspec.structs.replace(verdict, classifier=f"{name}{UNCALIBRATED}")


class Calibrating:
    """Follows the table's state; without one, confidences stay as the classifier says them.

    The embedded classifier comes fitted. A local model's log-probabilities are a probability only
    with a state, and verdicts by them say so.

    Attributes:
        cut: turns a policy's quality or share into a threshold.
        digest: of the state that is applied; empty without one.
        model: digest of the classifier's model.
    """

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self._metrics = metrics
        self._state: Calibration | None = None
        self._name = "embedded"
        self.digest = self.model = ""
        self.cut = Cut(shipped().curve)
        registry.listen(self._follow)
        self._follow(registry.table)

    def __call__(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the confidence that outcomes speak for."""
        if verdict.confidence is None or verdict.classifier != self._name:
            return verdict
        self._metrics.drift.saw(verdict.confidence)
        return calibrated(verdict, self._name, self._state)

    def _follow(self, table: RouteTable) -> None:
        stated = table.policy.calibration
        name, self.model = identity(table)
        fits = stated is not None and (stated.classifier, stated.model) == (name, self.model)
        state = stated if fits else None
        self._metrics.drift.against(stated.digest if stated is not None else "", state)
        if (state, name) == (self._state, self._name):
            return
        self._state, self._name = state, name
        self.digest = state.digest if state is not None else ""
        self.cut = cut(name, state)
        _log.info("calibration state in force: %s", self.digest or "none")
