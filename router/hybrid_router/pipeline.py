"""A request's way: authenticate -> classify -> decide -> forward -> account."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hybrid_router.admission import Admission, Ticket
from hybrid_router.anthropic.request import estimated_count
from hybrid_router.core.decision import (
    Decision,
    Needs,
    Reason,
    Refused,
    after_failure,
    candidates,
)
from hybrid_router.datapolicy.gate import UNCONDITIONAL
from hybrid_router.datapolicy.source import Gates
from hybrid_router.judging import Judging
from hybrid_router.keys import Unauthorized
from hybrid_router.openai.body import invalid
from hybrid_router.openai.errors import ApiError
from hybrid_router.responses.request import ResponsesCall
from hybrid_router.telemetry.access import Access
from hybrid_router.telemetry.trace import trace_line
from hybrid_router.ticker import Ticker
from hybrid_router.translate.surfaces import has, not_said, reachable
from hybrid_router.upstream.failover import Failover
from hybrid_router.upstream.failures import Cause
from hybrid_router.upstream.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.classify.base import Classifier
    from hybrid_router.core.decision import Decision
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.keys import KeyRing
    from hybrid_router.openai.request import Call, Outgoing
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.table import Backend, Model, RouteTable, Target
    from hybrid_router.telemetry.access import AccessLog
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.client import UpstreamClient

PARSE_OFF_LOOP_BYTES = 256 * 1024
"""Larger bodies are read in a thread. It still shares the interpreter; a process would not."""
TICK_SECONDS = 0.02
CLIENT_LEFT = 499  # nginx's status for it; in metrics and log only

_ESTIMATED = b"content-type: application/json\r\nx-hybrid-estimated: true\r\n"
_NO_RETRY = (b"x-should-retry", b"false")
_STATUS = {Cause.TIMEOUT: 504, Cause.OVERLOADED: 503}


class Answering:
    """What is known about one request's way, for headers, metrics and the log."""

    __slots__ = (
        "call", "clearance", "decision", "job", "model", "reason", "surface", "table", "ticket",
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
        self.ticket: Ticket | None = None

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
        if outgoing.dropped:
            lines += f"x-hybrid-dropped: {', '.join(outgoing.dropped)}\r\n"
        return lines.encode() + self._limits() + trace_line(decision, job)

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
        if job.spilled and backend.trust != "internal":
            return Reason.LOCAL_UNAVAILABLE
        return decision.reason


class Pipeline:
    """Answers what the endpoints have read.

    Args:
        registry: the table in force, and the replicas.
        client: the connections to backends.
        metrics: counts.
        keys: of the clients.
        classifier_source: returns the classifier in force, or None.
        access_log: one line per request; None writes none.
    """

    def __init__(
        self,
        registry: Registry,
        client: UpstreamClient,
        metrics: Metrics,
        keys: KeyRing,
        classifier_source: Callable[[], Classifier | None],
        access_log: AccessLog | None = None,
    ) -> None:
        self.registry = registry
        self.metrics = metrics
        self._keys = keys
        self._judging = Judging(registry, metrics, classifier_source)
        self._log = access_log
        self._gates = Gates(metrics)
        registry.listen(self._gates.follow)
        self._admission = Admission(registry)
        self._failover = Failover(registry, client, metrics, Ticker(TICK_SECONDS))

    def authorize(self, exchange: Exchange) -> None:
        """Check the client's key.

        Raises:
            ApiError: 401.
        """
        headers = exchange.request.headers
        value = headers.get(b"authorization")
        if value is not None and value[:7].lower() == b"bearer ":
            presented: bytes | None = value[7:].strip()
        else:
            presented = headers.get(b"x-api-key")  # as Anthropic's clients send it
        try:
            exchange.key_id = self._keys.check(presented)
        except Unauthorized as error:
            raise ApiError(
                401, "invalid_api_key", str(error), headers=((b"www-authenticate", b"Bearer"),)
            ) from None

    async def answer(
        self,
        exchange: Exchange,
        surface: str,
        read: Callable[[bytes], Call],
        write: Callable[[Exchange, Job], None] | None = None,
    ) -> None:
        """Answer a request.

        Args:
            exchange: the request.
            surface: the endpoint's name in metrics and log.
            read: makes a call of the body, or raises ApiError.
            write: makes the client's answer of a finished job. Without it, the backend's answer is
                the client's.
        """
        answering = Answering(surface, self.registry.table)
        status = CLIENT_LEFT
        try:
            try:
                await self._answer(exchange, answering, read, write)
            except ApiError as error:
                exchange.fail(error, answering.error_headers())
            status = exchange.status
        finally:
            self._account(exchange, answering, status)
            answering.job = None  # they know each other: the body would wait for the collector

    async def _answer(
        self,
        exchange: Exchange,
        answering: Answering,
        read: Callable[[bytes], Call],
        write: Callable[[Exchange, Job], None] | None,
    ) -> None:
        body = exchange.request.body
        large = len(body) > PARSE_OFF_LOOP_BYTES
        call = await asyncio.to_thread(read, body) if large else read(body)
        answering.call = call
        answering.ticket = self._admission.admit(exchange.key_id, call)
        clearance = answering.clearance = await self._gates.judge(answering.table, call.body)
        if clearance.ruling.refused:
            raise ApiError(403, "data_policy", _refusal(clearance.ruling.refused))
        model = _model(answering.table, call)
        answering.model = call.model
        if call.kind == "count_tokens" and not _counted(answering.table, model):
            answering.reason = Reason.EXPLICIT
            exchange.reply(200, _ESTIMATED, estimated_count(call))
            return
        if isinstance(call, ResponsesCall) and len(model.targets) > 1:
            call.share()
        decision = answering.decision = await self._decide(
            answering.table, model, call, (exchange, clearance.ruling.kept)
        )
        answering.reason = decision.reason
        job = answering.job = Job(
            call=call,
            client=exchange,
            headers=exchange.request.headers,
            request_id=exchange.request_id,
            targets=decision.targets,
            policy=answering.table.policy,
            clearance=clearance,
            alias=len(model.targets) > 1,
            delivers=write is None,
            prefix=answering.prefix,
            began=exchange.began,
        )
        if not await self._failover.run(job):
            raise self._exhausted(job)
        if write is not None and not exchange.finished and job.backend is not None:
            write(exchange, job)

    async def _decide(
        self, table: RouteTable, model: Model, call: Call, asked: tuple[Exchange, str | None]
    ) -> Decision:
        exchange, kept = asked
        try:
            targets = candidates(table, model, _needs(model, call), kept)
            targets = reachable(call, targets, table.backends)
            if call.kind == "embeddings":
                targets = _one_model(model, targets)
            made = await self._judging.decide(table, model, targets, call, exchange)
            return made if kept is None else replace(made, reason=Reason.DATA_POLICY)
        except Refused as refused:
            headers: tuple[tuple[bytes, bytes], ...] = ()
            if refused.status == 503:  # noqa: PLR2004  Service Unavailable
                headers = ((b"retry-after", b"1"),)
            raise ApiError(refused.status, refused.code, refused.message, headers=headers) from None

    def _exhausted(self, job: Job) -> ApiError:
        """Return the error for a request that no backend answered."""
        ended = job.last
        failure = ended.failure if ended is not None else None
        if job.withheld is not None or job.clearance.ruling.kept is not None:
            # Never 502: the API might answer, and must not be asked.
            why = job.withheld or job.clearance.ruling.kept
            message = f"no local backend answers at the moment, and nothing else may: {why}"
            return ApiError(503, "data_policy", message, headers=((b"retry-after", b"5"),))
        if job.unsaid is not None and not job.attempts:
            return ApiError(400, "unsupported_capability", not_said(job.unsaid))
        if failure is None or not job.attempts:
            now = time.monotonic()
            waits = [self.registry.pool(target.backend).wait(now) for target in job.targets]
            seconds = max(1, math.ceil(min(waits, default=1.0)))
            return ApiError(
                503,
                "no_backend",
                "no backend serves this model at the moment",
                headers=((b"retry-after", b"%d" % seconds),),
            )
        status = _STATUS.get(failure.cause, 502)
        if failure.status == 429:  # noqa: PLR2004  Too Many Requests: the client slows down, too
            status = 429
        headers = [_NO_RETRY]
        if failure.retry_after is not None:
            headers.append((b"retry-after", b"%d" % math.ceil(failure.retry_after)))
        elif status == 503:  # noqa: PLR2004  Service Unavailable
            headers.append((b"retry-after", b"1"))
        return ApiError(
            status,
            "rate_limit_exceeded" if status == 429 else f"upstream_{_word(failure.cause)}",  # noqa: PLR2004
            f"no backend answered ({job.attempts} tried); of the last one: {failure.text}",
            headers=tuple(headers),
        )

    def refused(self, exchange: Exchange, surface: str, error: ApiError) -> None:
        """Account for a request that was refused before its body was read."""
        answering = Answering(surface, self.registry.table)
        self._account(exchange, answering, error.status)

    def _account(self, exchange: Exchange, answering: Answering, status: int) -> None:
        seconds = time.monotonic() - exchange.began
        job = answering.job
        if answering.ticket is not None:
            answering.ticket.settle(job.accounted if job is not None else 0)
        backend = job.backend if job is not None else None
        source = "none"
        if backend is not None and status:
            source = "local" if backend.trust == "internal" else "api"
        reason = str(answering.reason)
        self.metrics.request(answering.surface, answering.model, source, reason, status, seconds)
        self.metrics.diverted.note(answering, source, status)
        if self._log is None:
            return
        decision = answering.decision
        self._log.write(
            Access(
                time=time.time(),
                request_id=exchange.request_id,
                surface=answering.surface,
                status=status,
                seconds=round(seconds, 6),
                model=answering.model,
                source=source,
                backend=job.target.backend if job is not None and job.target is not None else "",
                reason=reason,
                confidence=decision.confidence if decision is not None else None,
                data_classes=answering.clearance.ruling.names,
                intent=decision.intent if decision is not None else None,
                rule=decision.rule if decision is not None else None,
                attempts=job.attempts if job is not None else 0,
                prompt_tokens=job.prompt_tokens if job is not None else 0,
                completion_tokens=job.completion_tokens if job is not None else 0,
                key=exchange.key_id,
            )
        )


def _refusal(classes: tuple[str, ...]) -> str:
    return f"the data policy refuses requests that hold {', '.join(classes)}"


def _model(table: RouteTable, call: Call) -> Model:
    """Return what the name that the client wrote leads to."""
    model = table.models.get(call.model)
    if model is None:
        raise ApiError(
            404,
            "model_not_found",
            "this router does not know the model; /v1/models lists those it knows",
            param="model",
        )
    return model


def _needs(model: Model, call: Call) -> Needs:
    """Return what the request needs, as far as this model's targets set limits at all."""
    for target in model.targets:
        if target.lacks:
            return Needs(call.asked_tokens, call.capabilities())
    return Needs(call.asked_tokens)


def _counted(table: RouteTable, model: Model) -> bool:
    """Return whether one of the model's backends counts tokens."""
    return any(has(table.backends[target.backend], "count_tokens") for target in model.targets)


def _one_model(model: Model, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the targets that embed alike: vectors of different models cannot be compared."""
    if model.classified:
        raise invalid("model", "embeddings need a model's own name, not one that is decided on")
    return tuple(target for target in targets if target.model == targets[0].model)


def _word(cause: Cause) -> str:
    return cause.value.replace("-", "_")
