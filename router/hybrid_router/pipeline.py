"""A request's way: authenticate -> classify -> decide -> forward -> account."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hybrid_router.accounting import access
from hybrid_router.admission import Admission
from hybrid_router.answering import Answering
from hybrid_router.anthropic.request import estimated_count
from hybrid_router.core.decision import Reason, Refused
from hybrid_router.datapolicy.source import Gates
from hybrid_router.drafting import Drafting
from hybrid_router.judging import Judging
from hybrid_router.keys import Unauthorized
from hybrid_router.openai.errors import ApiError
from hybrid_router.outcomes.comparing import Comparing
from hybrid_router.outcomes.desk import Desk
from hybrid_router.responses.request import ResponsesCall
from hybrid_router.ticker import Ticker
from hybrid_router.translate.surfaces import has
from hybrid_router.unanswered import unanswered
from hybrid_router.upstream.failover import Failover
from hybrid_router.upstream.job import Asker, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.classify.base import Classifier
    from hybrid_router.core.decision import Decision
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.keys import KeyRing
    from hybrid_router.openai.request import Call
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.table import Model, RouteTable
    from hybrid_router.telemetry.access import AccessLog
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.telemetry.tracing import Tracer
    from hybrid_router.upstream.client import UpstreamClient

PARSE_OFF_LOOP_BYTES: Final = 256 * 1024
"""Larger bodies are read in a thread. It still shares the interpreter; a process would not."""
TICK_SECONDS: Final = 0.02
CLIENT_LEFT: Final = 499  # nginx's status for it; in metrics and log only

_ESTIMATED: Final = b"content-type: application/json\r\nx-hybrid-estimated: true\r\n"


class Pipeline:
    """Answers what the endpoints have read.

    Args:
        registry: the table in force, and the replicas.
        client: the connections to backends.
        metrics: counts.
        keys: of the clients.
        classifier_source: returns the classifier in force, or None.
        access_log: one line per request and per outcome; None writes none.

    Attributes:
        desk: takes outcomes.
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
        self.tracer: Tracer | None = None
        """Records spans, where that is asked for."""
        self._log = access_log
        calibrating = self._judging.calibrating
        self.desk = Desk(keys, metrics, access_log, lambda: calibrating.digest)
        self._gates = Gates(metrics)
        registry.listen(self._gates.follow)
        self._gates.follow(registry.table)
        self._admission = Admission(registry)
        self._failover = Failover(registry, client, metrics, Ticker(TICK_SECONDS))
        self._comparing = Comparing(self._failover, self._gates, self.desk, metrics, registry)

    @property
    def gates(self) -> Gates:
        """What judges requests by the data policy."""
        return self._gates

    async def close(self) -> None:
        """End what is under way for nobody."""
        await self._comparing.close()
        if self.tracer is not None:
            await self.tracer.close()

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
        if self.tracer is not None:
            answering.spans = self.tracer.begin(exchange.request.headers)
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
        kept: str | None = None
        if answering.table.policy.data is not None:
            answering.clearance = await self._gates.judge(answering.table, call.body)
            call.decoded = answering.clearance.taken()
            ruling = answering.clearance.ruling
            if ruling.refused:
                raise ApiError(403, "data_policy", _refusal(ruling.refused))
            kept = ruling.kept
        model = _model(answering.table, call)
        answering.model = call.model
        if call.kind == "count_tokens" and not _counted(answering.table, model, kept):
            answering.reason = Reason.EXPLICIT
            exchange.reply(200, _ESTIMATED, estimated_count(call))
            return
        if isinstance(call, ResponsesCall) and len(model.targets) > 1:
            call.share()
        decision = answering.decision = await self._decide(
            answering.table, model, call, (exchange, kept)
        )
        call.decoded = None
        answering.reason = decision.reason
        self.metrics.diverted.decided(answering, decision)
        self._issue(exchange, answering, decision)
        job = answering.job = _job(
            exchange,
            answering,
            call,
            decision,
            alias=len(model.targets) > 1,
            delivers=write is None,
        )
        if decision.draft is not None:
            issue = partial(self._issue, exchange, answering)
            job.draft = Drafting(answering, decision, decision.draft, self._judging, issue)
        if not await self._failover.run(job):
            raise unanswered(job, self.registry)
        if write is not None and not exchange.finished and job.backend is not None:
            write(exchange, job)

    def _issue(self, exchange: Exchange, answering: Answering, decision: Decision) -> None:
        """Let the answer be judged by its identifier, if a confidence decided who gives it."""
        if decision.confidence is not None:
            answering.issued = self.desk.issue(exchange, decision.confidence)
            answering.issued.say(local=answering.prefers_local(decision))

    async def _decide(
        self, table: RouteTable, model: Model, call: Call, asked: tuple[Exchange, str | None]
    ) -> Decision:
        exchange, kept = asked
        try:
            return await self._judging.order(table, model, call, exchange, kept)
        except Refused as refused:
            headers: tuple[tuple[bytes, bytes], ...] = ()
            if refused.status == 503:  # noqa: PLR2004  Service Unavailable
                headers = ((b"retry-after", b"1"),)
            raise ApiError(refused.status, refused.code, refused.message, headers=headers) from None

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
        self.desk.answered(exchange, answering, source, status)
        if answering.table.policy.comparison is not None:
            self._comparing.consider(exchange, answering, source, status)
        log, spans = self._log, answering.spans
        if (log is None or not log.on) and spans is None:
            return
        calibrating = self._judging.calibrating
        said = access(exchange, answering, source, status, seconds, calibrating)
        if log is not None:
            log.write(said)
        if spans is not None:
            spans.end(said)


def _job(
    exchange: Exchange,
    answering: Answering,
    call: Call,
    decision: Decision,
    *,
    alias: bool,
    delivers: bool,
) -> Job:
    asker = Asker(exchange, exchange.request.headers, exchange.request_id, exchange.began)
    policy, clearance = answering.table.policy, answering.clearance
    job = Job(asker, call, decision.targets, policy, clearance, answering.prefix)
    job.alias = alias
    job.delivers = delivers
    job.spans = answering.spans
    return job


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


def _counted(table: RouteTable, model: Model, kept: str | None) -> bool:
    """Return whether backends are asked to count tokens: one that may be can, or none may be."""
    inside = kept or table.policy.local_only
    asked = [table.backends[target.backend] for target in model.targets]
    asked = [each for each in asked if inside is None or each.trust == "internal"]
    return not asked or any(has(each, "count_tokens") for each in asked)
