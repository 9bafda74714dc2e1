"""The calibration state in force: confidences corrected, thresholds by it, drift against it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hybrid_router.classify.cut import Cut
from hybrid_router.classify.identity import identity
from hybrid_router.classify.model import Point, shipped
from hybrid_router.core.calibration import correct

if TYPE_CHECKING:
    from hybrid_router.core.decision import Verdict
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.table import Calibration, RouteTable
    from hybrid_router.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class Calibrating:
    """Follows the table's state; without one, confidences stay as the classifier says them.

    Attributes:
        cut: turns a policy's quality or share into a threshold.
        digest: of the state that is applied; empty without one.
        model: digest of the classifier's model.
    """

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self._metrics = metrics
        self._state: Calibration | None = None
        self._name = ""
        self.digest = self.model = ""
        self.cut = Cut(shipped().curve)
        registry.listen(self._follow)
        self._follow(registry.table)

    def __call__(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the confidence that outcomes speak for."""
        if verdict.confidence is None:
            return verdict
        self._metrics.drift.saw(verdict.confidence)
        if self._state is None or verdict.classifier != self._name:
            return verdict
        return correct(self._state.maps, verdict)

    def _follow(self, table: RouteTable) -> None:
        stated = table.policy.calibration
        name, self.model = identity(table.policy.classifier)
        fits = stated is not None and (stated.classifier, stated.model) == (name, self.model)
        state = stated if fits else None
        self._metrics.drift.against(stated.digest if stated is not None else "", state)
        if state == self._state:
            return
        self._state, self._name = state, name
        self.digest = state.digest if state is not None else ""
        curve = [Point(s.threshold, s.quality, s.local) for s in state.curve] if state else []
        self.cut = Cut(curve or shipped().curve)
        _log.info("calibration state in force: %s", self.digest or "none")
