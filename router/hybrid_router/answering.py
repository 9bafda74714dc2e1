"""What is known of one request while it is answered, and the header lines that say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.core.decision import Reason, after_failure
from hybrid_router.datapolicy.gate import UNCONDITIONAL
from hybrid_router.telemetry.trace import trace_line

if TYPE_CHECKING:
    from hybrid_router.admission import Ticket
    from hybrid_router.core.cascade import Sureness
    from hybrid_router.core.decision import Decision
    from hybrid_router.openai.request import Call, Outgoing
    from hybrid_router.outcomes.receipts import Issued
    from hybrid_router.table import Backend, RouteTable
    from hybrid_router.telemetry.tracing import Spans
    from hybrid_router.upstream.job import Job

_FOR_THE_API: Final[tuple[Reason, ...]] = (Reason.NOT_CONFIDENT, Reason.CLASSIFIER_ERROR)


class Answering:
    """What is known about one request's way, for headers, metrics and the log."""

    __slots__ = (
        "call", "clearance", "decision", "issued", "job", "model", "reason", "spans", "sureness",
        "surface", "table", "ticket",
    )  # fmt: skip

    def __init__(self, surface: str, table: RouteTable) -> None:
        self.surface = surface
        self.table = table
        self.call: Call | None = None
        self.model = ""
        self.clearance = UNCONDITIONAL
        self.decision: Decision | None = None
        self.job: Job | None = None
        self.reason = Reason.REFUSED
        self.spans: Spans | None = None
        self.ticket: Ticket | None = None
        self.issued: Issued | None = None
        self.sureness: Sureness | None = None

    def decided(self, decision: Decision, sureness: Sureness | None) -> None:
        """Take the decision that a draft led to, and what the draft said."""
        self.decision, self.sureness = decision, sureness

    def prefix(self, job: Job, backend: Backend, outgoing: Outgoing) -> bytes:
        """Return the response's own header lines for an attempt at `backend`."""
        decision = self.decision
        if decision is None or job.target is None:
            return b""
        self.reason = self._reason(decision, job, backend)
        source = "local" if backend.trust == "internal" else "api"
        lines = (
            f"x-hybrid-source: {source}\r\nx-hybrid-model: {job.target.model}\r\n"
            f"{self._common(decision, job.attempts)}"
        )
        if self.issued is not None:
            lines += self.issued.say(local=backend.trust == "internal")
        if outgoing.dropped:
            lines += f"x-hybrid-dropped: {', '.join(outgoing.dropped)}\r\n"
        return lines.encode() + self._limits() + trace_line(decision, job)

    @property
    def feedback_id(self) -> str:
        """What the answer can be judged by beside a client's own id; empty where that is its id."""
        return self.issued.beside if self.issued is not None else ""

    def prefers_local(self, decision: Decision) -> bool:
        """Return whether a local model is asked first."""
        return self.table.backends[decision.targets[0].backend].trust == "internal"

    def _limits(self) -> bytes:
        return self.ticket.lines if self.ticket is not None else b""

    def error_headers(self) -> bytes:
        """Return the header lines of an error of the router's own."""
        if self.decision is None or self.job is None:
            lines = f"x-hybrid-reason: {self.reason}\r\n{self._classes()}"
        else:
            lines = self._common(self.decision, self.job.attempts)
        return lines.encode() + self._limits()

    def _common(self, decision: Decision, attempts: int) -> str:
        lines = f"x-hybrid-reason: {self.reason}\r\nx-hybrid-attempts: {attempts}\r\n"
        if decision.confidence is not None:
            lines += f"x-hybrid-confidence: {decision.confidence:.3f}\r\n"
            lines += f"x-hybrid-classifier: {decision.classifier}\r\n"
        if decision.intent is not None:
            lines += f"x-hybrid-intent: {decision.intent}\r\n"
        if decision.rule is not None:
            lines += f"x-hybrid-rule: {decision.rule}\r\n"
        if decision.shadowed is not None:
            lines += f"x-hybrid-shadow: {decision.shadowed}\r\n"
        return lines + self._classes()

    def _classes(self) -> str:
        names = self.clearance.ruling.names
        return f"x-hybrid-data-classes: {', '.join(names)}\r\n" if names else ""

    def _reason(self, decision: Decision, job: Job, backend: Backend) -> Reason:
        for name in job.failed:
            failed = self.table.backends.get(name)
            if failed is not None and failed.trust != backend.trust:
                return after_failure(failed)
        internal = backend.trust == "internal"
        if not internal and (job.spilled or decision.reason is Reason.DRAFT):
            return Reason.LOCAL_UNAVAILABLE
        if internal and decision.reason in _FOR_THE_API:
            return Reason.EXTERNAL_UNAVAILABLE
        return decision.reason
