"""The draft of one request: judged once, and its decision kept for headers, metrics and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.core.cascade import NAME, settled
from hybrid_router.core.decision import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.answering import Answering
    from hybrid_router.core.cascade import Sureness
    from hybrid_router.core.decision import Decision, Drafts
    from hybrid_router.judging import Judging
    from hybrid_router.table import Target
    from hybrid_router.telemetry.judged import DraftOutcome as Outcome

NOTHING_SAID = "the draft could not be judged in time"


class Drafting:
    """Judges a draft (an `upstream.draft.Draft`).

    Args:
        answering: gets the decision that the draft leads to.
        decision: that there is a draft.
        drafts: how it is judged.
        judging: what all requests are judged by.
        issue: gives the answer an identifier, once there is a confidence.
    """

    def __init__(
        self,
        answering: Answering,
        decision: Decision,
        drafts: Drafts,
        judging: Judging,
        issue: Callable[[Decision], None],
    ) -> None:
        self._answering = answering
        self._decision = decision
        self._judging = judging
        self._issue = issue
        self.tokens = drafts.tokens
        self.seconds = drafts.seconds
        self.targets: tuple[Target, ...] = decision.targets

    def judged(self, sureness: Sureness | None, tokens: int) -> bool:
        """Take what a draft says, None for nothing; return whether the client gets it."""
        before, table = self._decision, self._answering.table
        score = sureness.score if sureness is not None else None
        why = NOTHING_SAID if sureness is None else None
        verdict = Verdict(score, before.intent, NAME, why)
        made = settled(before, self._judging.calibrating(verdict), table.backends)
        first = made.targets[0].backend
        taken = table.backends[first].trust == "internal"
        self.targets = made.targets
        self._answering.decided(made, sureness)
        self._issue(made)
        outcome: Outcome = "accepted" if taken else "escalated"
        if sureness is None:
            outcome = "undecided"
        self._judging.drafted(made, table, (before.targets[0].backend, outcome, tokens))
        return taken
