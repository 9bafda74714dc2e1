"""Where outcomes come in: from clients that judge, and from clients that ask again."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hybrid_router.core.decision import Reason
from hybrid_router.outcomes.again import Again, conversation
from hybrid_router.outcomes.receipts import Receipt, Receipts
from hybrid_router.telemetry.access import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.answering import Answering
    from hybrid_router.keys import KeyRing
    from hybrid_router.outcomes.receipts import Issued
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.telemetry.access import AccessLog
    from hybrid_router.telemetry.metrics import Metrics

JUDGED: Final = 16_384
"""Judgements remembered per router, so that none counts twice."""


class Desk:
    """Takes outcomes: counts each once, and writes it to the log.

    Args:
        keys: of the clients; they seal identifiers.
        metrics: counts.
        log: lines; None writes none.
        state: returns the digest of the calibration state in force.
    """

    def __init__(
        self,
        keys: KeyRing,
        metrics: Metrics,
        log: AccessLog | None,
        state: Callable[[], str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._receipts = Receipts(keys, now)
        self._metrics = metrics
        self._log = log
        self._state = state
        self._now = now
        self._again = Again()
        self._judged: OrderedDict[str, float] = OrderedDict()

    def issue(self, exchange: Exchange, said: float) -> Issued:
        """Return the identifier for a request that was decided by a confidence."""
        return self._receipts.issue(exchange, said, self._state())

    def read(self, request_id: str, key_id: str | None) -> Receipt | None:
        """Return what an identifier says; None if this key may not judge by it."""
        return self._receipts.read(request_id, key_id)

    def judged(self, receipt: Receipt, score: float, reason: str | None, key: str | None) -> bool:
        """Take a client's judgement; return whether it says something new."""
        known_by = receipt.beside or receipt.request_id
        before = self._judged.pop(known_by, None)
        self._judged[known_by] = score
        if len(self._judged) > JUDGED:
            self._judged.popitem(last=False)
        if before == score:
            return False
        side = "local" if receipt.local else "api"
        if before is None:
            self._metrics.drift.judged("feedback", side, score, receipt.said, receipt.state)
        self._write(
            Outcome(
                time=self._now(), request_id=receipt.request_id, feedback_id=receipt.beside,
                source="feedback", score=score, side=side, reason=reason, key=key,
            )
        )  # fmt: skip
        return True

    def compared(self, outcome: Outcome, served: str, said: float) -> None:
        """Take what a judge says of one side's answer; only one that a client got is counted.

        Args:
            outcome: the judge's.
            served: the side that answered the client.
            said: the confidence that the decision was made by.
        """
        if outcome.side == served and outcome.score is not None:
            state = self._state()[:8]
            self._metrics.drift.judged("judge", served, outcome.score, said, state)
        self._write(outcome)

    def answered(self, exchange: Exchange, answering: Answering, source: str, status: int) -> None:
        """See whether a request that has ended says something of an earlier one."""
        call, decision = answering.call, answering.decision
        if call is None or decision is None or status != 200:  # noqa: PLR2004  OK
            return
        larger = decision.reason is Reason.EXPLICIT and source == "api"
        if decision.confidence is None and not larger:
            return
        known_by = conversation(call, exchange.key_id)
        sign = self._again.asked(known_by, exchange.began, larger=larger)
        if sign is not None:
            if sign.source == "escalation":
                self._metrics.drift.judged(sign.source, "local", 0.0, sign.said, sign.state[:8])
            self._write(
                Outcome(
                    time=self._now(), request_id=sign.ids[0], feedback_id=sign.ids[1],
                    source=sign.source, score=sign.score, side="local", key=exchange.key_id,
                )
            )  # fmt: skip
        if source == "local" and decision.confidence is not None and not _broke(answering):
            decided = decision.confidence, self._state()
            ids = exchange.request_id, answering.feedback_id
            self._again.answered(known_by, ids, decided, time.monotonic())

    def _write(self, outcome: Outcome) -> None:
        if self._log is not None:
            self._log.write(outcome)


def _broke(answering: Answering) -> bool:
    """Return whether the answer broke off: asking again then says nothing of what it said."""
    ended = answering.job.last if answering.job is not None else None
    return ended is None or ended.broken
