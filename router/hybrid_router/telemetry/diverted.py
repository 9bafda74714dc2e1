"""Work that only the router can tell apart, and that the operator scales by.

What a local model would have got and did not, counted by the local backend that came first, whether
a provider answered instead or nobody did. And what a local model served and nobody else might: no
price takes its last replica away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.core.decision import Reason
from hybrid_router.telemetry.series import Count, Counter

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from hybrid_router.answering import Answering
    from hybrid_router.core.decision import Decision
    from hybrid_router.upstream.job import Job

UNSERVED: Final = "unserved"
"""The label `reason` where nobody could answer: nothing but the local model may."""


class Diverted:
    """Requests and tokens that went past a local backend, or that had to go to it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "hinf_router_diverted_requests",
            "Requests that a local backend would have got, by why it did not.",
            ("backend", "reason"),
            registry=registry,
        )
        self._tokens = Counter(
            "hinf_router_diverted_tokens",
            "Tokens of those requests by kind: prompt and completion; estimated where nobody "
            "answered.",
            ("backend", "reason", "kind"),
            registry=registry,
        )
        self._passed = Counter(
            "hinf_router_passed_requests",
            "Requests that go past a local backend that is not available, counted as they do: the "
            "first one wakes a model, long before its answer from elsewhere has ended.",
            ("backend",),
            registry=registry,
        )
        self._local_only = Counter(
            "hinf_router_local_only_tokens",
            "Tokens of requests that a local backend served and no API could have, by kind: prompt "
            "(cached ones apart) and completion.",
            ("backend", "kind"),
            registry=registry,
        )
        self._held: dict[str, tuple[Count, Count]] = {}

    def decided(self, answering: Answering, decision: Decision) -> None:
        """Count a request that goes elsewhere for want of a local model."""
        if decision.reason is Reason.LOCAL_UNAVAILABLE:
            backend = _first_local(answering)
            if backend is not None:
                self._passed.labels(backend).inc()

    def note(self, answering: Answering, source: str, status: int) -> None:
        """Count a request if a local model should have had it and did not, or if it had to.

        Args:
            answering: What is known of the request.
            source: Who answered: `local`, `api` or `none`.
            status: Of the answer.
        """
        if source == "local":
            job = answering.job
            if job is not None and _local_only(answering):
                self._keep(job)
            return
        reason = _because(answering, source, status)
        backend = _first_local(answering) if reason is not None else None
        if reason is not None and backend is not None:
            self._add(backend, reason, *_tokens(answering))

    def _keep(self, job: Job) -> None:
        if job.target is None:
            return
        held = self._held.get(job.target.backend)
        if held is None:
            make, name = self._local_only.labels, job.target.backend
            held = self._held[name] = make(name, "prompt"), make(name, "completion")
        held[0].value += max(job.prompt_tokens - job.cached_tokens, 0)
        held[1].value += job.completion_tokens

    def _add(self, backend: str, reason: str, prompt: int, completion: int) -> None:
        self._requests.labels(backend, reason).inc()
        self._tokens.labels(backend, reason, "prompt").inc(prompt)
        self._tokens.labels(backend, reason, "completion").inc(completion)


def _first_local(answering: Answering) -> str | None:
    model, backends = answering.table.models.get(answering.model), answering.table.backends
    for target in model.targets if model is not None else ():
        if backends[target.backend].trust == "internal":
            return target.backend
    return None


def _local_only(answering: Answering) -> bool:
    """Whether no API was among the targets: by policy, by what the request holds, or by name."""
    decision, backends = answering.decision, answering.table.backends
    if decision is None:
        return False
    for target in reversed(decision.targets):  # where there is an API, it mostly comes last
        if backends[target.backend].trust != "internal":
            return False
    return True


def _because(answering: Answering, source: str, status: int) -> str | None:
    """Return why a request went past a local model; None: it did not."""
    if source == "api" and answering.reason in (Reason.LOCAL_UNAVAILABLE, Reason.LOCAL_FAILED):
        return str(answering.reason)
    return UNSERVED if source == "none" and status == 503 else None  # noqa: PLR2004  nobody is there


def _tokens(answering: Answering) -> tuple[int, int]:
    """Return prompt and completion tokens: as used, or as asked for."""
    call, job = answering.call, answering.job
    if job is not None and job.prompt_tokens:
        return job.prompt_tokens, job.completion_tokens
    return (call.prompt_tokens, call.answer_tokens) if call is not None else (0, 0)
