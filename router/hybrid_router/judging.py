"""Judging a request: its terms, the classifier's verdict, and the threshold for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.calibrating import Calibrating
from hybrid_router.classify.loop import tokens_at_turn
from hybrid_router.classify.prompt import Prompt
from hybrid_router.core import cascade
from hybrid_router.core.decision import NOT_JUDGED, Verdict, decide, worth_judging
from hybrid_router.core.terms import Asked, Terms, by_length, terms
from hybrid_router.openai.draft import undraftable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hybrid_router.classify.base import Classifier
    from hybrid_router.core.decision import Decision
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.openai.request import Call
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.table import Model, Policy, RouteTable, Target
    from hybrid_router.telemetry.judged import DraftOutcome as Outcome
    from hybrid_router.telemetry.metrics import Metrics

PREFERRED: Final = Verdict(None, None, "none")
"""Where a rule names the side, nobody is asked."""


class Judging:
    """Decides on requests, by the classifier in force.

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

    def ordered(
        self, table: RouteTable, targets: Sequence[Target], call: Call, exchange: Exchange
    ) -> Decision:
        """Order what can answer where nothing is judged. A rule's models hold for it as well.

        Raises:
            Refused: the policy allows none of it.
        """
        policy = table.policy
        found = terms(policy, _asked(policy, call, exchange)) if policy.rules else None
        return decide(policy, targets, table.backends, None, self._invites, found)

    async def decide(
        self,
        table: RouteTable,
        model: Model,
        targets: Sequence[Target],
        call: Call,
        exchange: Exchange,
    ) -> Decision:
        """Order what can answer by what the request holds.

        Raises:
            Refused: the policy allows none of it.
        """
        asked = _asked(table.policy, call, exchange)
        cut = self.calibrating.cut
        found = terms(table.policy, asked, cut.threshold(table.policy))
        verdict = await self._verdict(table, model, targets, (call, exchange.key_id or ""), found)
        made = decide(table.policy, targets, table.backends, verdict, self._invites, found)
        if table.policy.classifier.type == cascade.NAME:
            made = self._drafted(made, table, call, found)
        if made.confidence is not None:
            cut.saw(made.confidence)
            self._metrics.decisions.made(made, table.backends)
        return made

    def _invites(self, backend: str) -> bool:
        """Return whether a backend would take a request now that may go elsewhere, too."""
        pool, now = self._registry.pool(backend), time.monotonic()
        return pool.available(now) and pool.ramp.invites(now, pool.in_flight)

    def _drafted(self, made: Decision, table: RouteTable, call: Call, found: Terms) -> Decision:
        """Return the decision with a draft first, where there can be one."""
        why = undraftable(call)
        if why is not None:
            return msgspec.structs.replace(made, undrafted=why)
        return cascade.drafted(made, table.policy, table.backends, found, self._invites)

    def drafted(self, made: Decision, table: RouteTable, draft: tuple[str, Outcome, int]) -> None:
        """Count a draft that was judged: its backend, what became of it, and its tokens."""
        self._metrics.judged.draft(*draft)
        if made.confidence is not None:
            self.calibrating.cut.saw(made.confidence)
            self._metrics.decisions.made(made, table.backends)

    async def _verdict(
        self,
        table: RouteTable,
        model: Model,
        targets: Sequence[Target],
        asked: tuple[Call, str],
        found: Terms,
    ) -> Verdict | None:
        call, asker = asked
        if not worth_judging(model, targets, table.backends):
            return NOT_JUDGED
        if found.prefer is not None:
            return PREFERRED
        classifier = self._classifier()
        if classifier is None:
            return None
        if call.kind == "completions":
            prompt = Prompt.from_text(call.text())
        else:
            prompt = Prompt.from_messages(call.messages())
        return self.calibrating(await classifier.classify(prompt, asker))


def _asked(policy: Policy, call: Call, exchange: Exchange) -> Asked:
    tokens = tokens_at_turn(call) if by_length(policy) else call.prompt_tokens
    return Asked(call.model, exchange.key_id, tokens, exchange.request.headers)
