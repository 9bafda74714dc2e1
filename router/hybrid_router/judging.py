"""Judging a request: its terms, the classifier's verdict, and the threshold for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hybrid_router.calibrating import Calibrating
from hybrid_router.deciding import looked_at, order, prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.classify.base import Classifier
    from hybrid_router.core.decision import Decision, Verdict
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.openai.request import Call
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.table import Model, Policy, RouteTable
    from hybrid_router.telemetry.judged import DraftOutcome as Outcome
    from hybrid_router.telemetry.metrics import Metrics


class Judging:
    """Decides on requests, by the classifier in force; a `deciding.Judge`.

    Attributes:
        calibrating: corrects its confidences.
    """

    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        classifier_source: Callable[[], Classifier | None],
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._classifier = classifier_source
        self.calibrating = Calibrating(registry, metrics)

    async def order(
        self, table: RouteTable, model: Model, call: Call, exchange: Exchange, kept: str | None
    ) -> Decision:
        """Order what can answer a request, by what it holds where that is judged, and count it.

        Raises:
            Refused: nothing may or can answer.
            ApiError: the request is at fault.
        """
        asked = looked_at(table.policy, call, exchange.key_id, exchange.request.headers)
        made = await order(table, model, call, asked, kept, self)
        if made.confidence is not None:
            self.calibrating.cut.saw(made.confidence)
            self._metrics.decisions.made(made, table.backends)
        return made

    def threshold(self, policy: Policy) -> float:
        """Return the confidence from which the local model is asked first."""
        return self.calibrating.cut.threshold(policy)

    def invites(self, backend: str) -> bool:
        """Return whether a backend would take a request now that may go elsewhere, too."""
        pool, now = self._registry.pool(backend), time.monotonic()
        return pool.available(now) and pool.ramp.invites(now, pool.in_flight)

    async def judge(self, model: Model, call: Call, asker: str) -> Verdict | None:
        """Return the verdict on a request, corrected; None where nobody judges."""
        classifier = self._classifier()
        if classifier is None:
            return None
        return self.calibrating(await classifier.classify(prompt(call), asker, model.priors))

    def drafted(self, made: Decision, table: RouteTable, draft: tuple[str, Outcome, int]) -> None:
        """Count a draft that was judged: its backend, what became of it, and its tokens."""
        self._metrics.judged.draft(*draft)
        if made.confidence is not None:
            self.calibrating.cut.saw(made.confidence)
            self._metrics.decisions.made(made, table.backends)
