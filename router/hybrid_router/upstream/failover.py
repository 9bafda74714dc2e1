"""Attempts at targets, in the order of a decision, until one answers or nothing is left to try."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from hybrid_router.core.breaker import Outcome
from hybrid_router.openai.continuation import continuation, resumable
from hybrid_router.openai.prefix import prefix
from hybrid_router.table import Policy
from hybrid_router.telemetry.genai import Who
from hybrid_router.telemetry.trace import Tried
from hybrid_router.translate.outgoing import outgoing as outgoing_of
from hybrid_router.translate.pieces import InexpressibleError
from hybrid_router.upstream.attempt import Attempt, Clocks, Downstream, Ended, Whole
from hybrid_router.upstream.budget import RetryBudget
from hybrid_router.upstream.draft import drafting
from hybrid_router.upstream.failures import NOT_TAKEN, Cause
from hybrid_router.upstream.job import Held, Job, Place
from hybrid_router.upstream.late import begins_late, queued
from hybrid_router.upstream.outgoing import located, passed_headers, post
from hybrid_router.upstream.pace import Pace
from hybrid_router.upstream.relay import Relay
from hybrid_router.upstream.resume import Continuation, Resumable, elsewhere, find_boundary

if TYPE_CHECKING:
    from collections.abc import Container

    from hybrid_router.datapolicy.gate import Cleared
    from hybrid_router.discovery.registry import Pool, Registry
    from hybrid_router.discovery.replica import Replica
    from hybrid_router.openai.request import Outgoing
    from hybrid_router.table import Backend, Target
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.ticker import Ticker
    from hybrid_router.upstream.client import UpstreamClient

BACKOFF_SECONDS: Final[tuple[float, ...]] = (0.05, 0.2)
"""Before the same replica is asked again; drawn evenly, so that clients do not return together."""

_AGAIN: Final = frozenset({Cause.CONNECT, Cause.BROKEN, Cause.SERVER_ERROR})
_DEFAULT_DEADLINE: Final = Policy().deadline


class Failover:
    """Makes attempts, and accounts for each.

    Args:
        registry: the table in force, and the replicas.
        client: keeps the connections.
        metrics: counts.
        ticker: watches the attempts' deadlines.
    """

    def __init__(
        self, registry: Registry, client: UpstreamClient, metrics: Metrics, ticker: Ticker
    ) -> None:
        self._registry = registry
        self._upstream = client
        self._metrics = metrics
        self._ticker = ticker
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    async def run(self, job: Job) -> bool:
        """Try until the client has its answer; return whether it has.

        An error that the client itself caused, and a stream that broke after the commit boundary,
        are answers as well.
        """
        self._set_deadline(job)
        while not job.exhausted:
            if self._must_wait(job):
                await self._wait(job)
                continue
            found = self._next(job) or await self._again(job)
            if found is None:
                return False
            attempt = await self._attempt(job, found)
            if attempt is None:
                continue
            ended = job.last
            if ended is not None and ended.failure is None:
                if ended.unfinished and isinstance(attempt, Resumable):
                    await self._continue(job, attempt, found)
                elif not 200 <= ended.status < 300:  # noqa: PLR2004  success
                    attempt.pass_on(ended)
                return True
            if self._is_final(job, attempt):
                return True
        return False

    def _must_wait(self, job: Job) -> bool:
        """Return whether its next target is a local backend that is busy, or asleep."""
        if job.at >= len(job.targets):
            return False
        pool = self._registry.pool(job.targets[job.at].backend)
        return pool.backend.trust == "internal" and (pool.full or pool.asleep)

    async def _wait(self, job: Job) -> None:
        """Wait for a place at a local backend, or go on to the next target.

        Where the request may go to an API, it waits no longer than the API takes to its first
        token; one that must stay waits up to its deadline, for a replica to start as well.
        """
        pool = self._registry.pool(job.targets[job.at].backend)
        seconds = job.deadline - time.monotonic()
        rest = job.targets[job.at + 1 :]
        others = [t.backend for t in rest if self._registry.available(t.backend)]
        if others:
            seconds = min(seconds, *(self._paces[name].ttft for name in others))
            if pool.asleep or pool.queue.expected(pool.places or 1) > seconds:
                seconds = 0.0
        may_wait = seconds > 0 and not pool.queue.full
        job.queued = may_wait and await self._turn(job, pool, seconds)
        if not job.queued:
            job.spilled = True
            job.at += 1

    async def _turn(self, job: Job, pool: Pool, seconds: float) -> bool:
        self._metrics.waiting(pool.name, 1)
        try:
            return await pool.queue.wait(seconds, again=job.queued)
        finally:
            self._metrics.waiting(pool.name, -1)

    def _set_deadline(self, job: Job) -> None:
        """Bound the time to commit; a whole answer gets the time that one takes, unless set."""
        seconds = job.policy.deadline
        if not job.call.stream and seconds == _DEFAULT_DEADLINE:
            name = job.targets[0].backend
            timeouts = self._registry.pool(name).backend.timeouts
            seconds = max(seconds, self._paces[name].limit(timeouts, job.call.answer_tokens))
        job.deadline = job.began + seconds

    def _next(self, job: Job) -> Place | None:
        """Return the next replica to try: of the same target, while enough attempts are left."""
        now = time.monotonic()
        left = job.policy.attempts - job.attempts
        for index in range(job.at, len(job.targets)):
            target = job.targets[index]
            pool = self._registry.pool(target.backend)
            same = job.target is target
            if same and left <= len(job.targets) - index - 1:
                continue
            replica = self._pick(job, target, pool, job.tried)
            if replica is None or (same and not self._affords(job, target.backend, now)):
                continue
            job.at, found = index, Place(target, pool, replica)
            if begins_late(job, found, self._sooner):
                job.put_off()
                return self._next(job)
            if not same:
                self._budgets[target.backend].request(now)
            return found
        return None

    async def _again(self, job: Job) -> Place | None:
        """Return the last replica once more where nothing else is left and that may help."""
        failure = job.last.failure if job.last is not None else None
        target = job.target
        if failure is None or target is None or failure.cause not in _AGAIN:
            return None
        if not self._affords(job, target.backend, time.monotonic()):
            return None
        await asyncio.sleep(random.uniform(*BACKOFF_SECONDS))  # noqa: S311  no secret
        pool = self._registry.pool(target.backend)
        replica = None if job.exhausted else self._pick(job, target, pool, ())
        return Place(target, pool, replica) if replica is not None else None

    def _pick(self, job: Job, target: Target, pool: Pool, tried: Container[str]) -> Replica | None:
        """Return a replica, unless a table that came since the decision forbids its pool."""
        if self._registry.table.policy.local_only is not None and pool.backend.trust != "internal":
            return None
        begins = None
        if pool.backend.engine == "vllm" and len(pool.replicas) > 1 and job.policy.prefix_affinity:
            begins = prefix(job.call, target.model)
        return pool.pick(time.monotonic(), tried, begins, job.tokens)

    def _affords(self, job: Job, backend: str, now: float) -> bool:
        failure = job.last.failure if job.last is not None else None
        if failure is not None and failure.cause is Cause.CONNECT:
            return True
        return self._budgets[backend].retry(now)

    def _is_final(self, job: Job, attempt: Attempt) -> bool:
        """Give the client an error that no other target may answer; return whether it is one."""
        ended = job.last
        if ended is None or ended.failure is None or ended.failure.cause is not Cause.TOO_LONG:
            return False
        local = job.backend is not None and job.backend.trust == "internal"
        rest = job.targets[job.at + 1 :]
        if job.alias and local and not job.exhausted and rest:
            job.at += 1
            return False
        attempt.pass_on(ended)
        return True

    async def _attempt(self, job: Job, place: Place) -> Attempt | None:
        """Make one attempt; None if it could not even begin."""
        target, backend = place.target, place.pool.backend
        job.tried.add(place.replica.url)
        if place.pool.secret_missing:
            return None
        armed = self._arms(job, target, place.pool)
        try:
            drafts = job.draft is not None and backend.trust == "internal"
            outgoing = outgoing_of(job.call, target.model, backend, ids=armed, draft=drafts)
        except InexpressibleError as error:
            job.unsaid = str(error)
            job.at += 1
            return None
        translated = not outgoing.form.passes
        if job.clearance.lengthy:
            await job.clearance.prepare(outgoing.body, backend, anew=translated)
        policy = self._registry.table.policy.data
        cleared = job.cleared(outgoing.body, backend, policy, anew=translated)
        if cleared is None:
            job.at += 1
            return None
        job.target, job.backend = target, backend
        job.attempts += 1
        attempt = self._make(job, backend, outgoing, cleared.client(job.client), armed=armed)
        ended = await self._carry_out(job, place, attempt, outgoing.path, cleared)
        ended = job.last = cleared.ended(ended)
        if ended.failure is not None and ended.failure.cause in NOT_TAKEN:
            job.escalate()
        elif ended.failure is not None:
            job.failed.append(target.backend)
        return attempt

    async def _carry_out(
        self, job: Job, place: Place, attempt: Attempt, path: str, body: Cleared
    ) -> Ended:
        """Send a request, wait for its end, and account for it."""
        call, target, pool, replica = job.call, place.target, place.pool, place.replica
        origin, full_path = self._upstream.target(
            located(replica.url, path, target.model), replica.tls
        )
        span = job.spans.attempt(call, target, pool, replica) if job.spans is not None else None
        passed = passed_headers(job, pool.backend, span)
        request = post(origin, full_path, body, passed, pool.auth_header(), stream=call.stream)
        began = time.monotonic()
        replica.acquire(job.tokens)
        prompt = attempt.prompt = queued(job, place)
        held = Held(job.tokens, job.accounted, pool.reserve(job.tokens, began), span, prompt)
        try:
            ended = job.last = await attempt.run(origin, request)
        except BaseException:
            self._close(job, place, attempt, None, held)
            raise
        self._close(job, place, attempt, ended, held)
        self._ended(job, place, ended, time.monotonic() - began)
        return ended

    def _close(
        self, job: Job, place: Place, attempt: Attempt, ended: Ended | None, held: Held
    ) -> None:
        """Free what an attempt held and count it; without an end it was cancelled."""
        outcome = Outcome.CANCELLED if ended is None else ended.outcome
        after = None if ended is None else ended.retry_after
        status = None if ended is None else ended.status or None
        now, target = time.monotonic(), place.target
        place.replica.release(held.tokens, outcome, now, after)
        self._metrics.attempt(target.backend, outcome, status)
        self._account(job, target, attempt, ended)
        if held.prompt is not None:
            held.prompt.computed()
            if job.call.stream and ended is not None:
                place.pool.prefill.took(held.prompt.before, ended.first_token)
        if held.reserved is not None:
            held.reserved.settle(job.accounted - held.accounted, now)
        if held.span is not None:
            held.span.end(ended)

    def _ended(self, job: Job, place: Place, ended: Ended, seconds: float) -> None:
        """Take note of how an attempt went."""
        target, pool = place.target, place.pool
        pool.queue.took(seconds)
        failure = ended.failure
        if failure is not None:
            ms = round(seconds * 1000)
            job.trail.append(Tried(target.backend, failure.cause.value, failure.status, ms))
        elif ended.usage is not None:
            who = Who(job.call.kind, pool.backend.provider or pool.backend.engine, target.model)
            first = ended.first_token if job.call.stream else None
            usage = ended.usage
            self._metrics.genai.answered(who, usage.prompt, usage.completion, seconds, first)

    def _arms(self, job: Job, target: Target, pool: Pool) -> bool:
        """Return whether a stream's token ids are kept, so that it can outlive its replica."""
        return (
            job.call.stream
            and job.policy.resume
            and pool.backend.engine == "vllm"
            and pool.backend.trust == "internal"
            and len(pool.replicas) > 1
            and resumable(job.call, target)
        )

    async def _continue(self, job: Job, broken: Resumable, place: Place) -> None:
        """Bring a broken stream to its end by other replicas; else tell the client that it broke.

        The deadline bounds the time to the first token, which has been. What bounds this is each
        attempt's first-byte timeout, their number, and `maxDuration`.
        """
        target, failed = place.target, [place.replica.url]
        until = self._clocks(job, place.pool.backend, place.pool.backend.timeouts.first_byte)
        complete = broken.settle(job.call, target)
        for _ in range(job.policy.attempts):
            if complete or not broken.tokens.resumable:
                break
            other = await elsewhere(self._registry, target.backend, failed, until.commit_by)
            if other is None:
                break
            place = Place(target, *other)
            failed.append(place.replica.url)
            job.attempts += 1
            model, tokens = target.model, broken.tokens
            if not await find_boundary(self._upstream, place.replica, model, tokens):
                continue
            clocks = self._clocks(job, place.pool.backend, place.pool.backend.timeouts.first_byte)
            attempt = Continuation(job.client, clocks, self._ticker, broken)
            policy = self._registry.table.policy.data
            asked = continuation(job.call, target, tokens)
            body = job.cleared(asked, place.pool.backend, policy, anew=True)
            if body is None:
                break
            await self._carry_out(job, place, attempt, "/completions", body)
            complete = attempt.complete or broken.settle(job.call, target)
        if not complete:
            broken.abandon()
        self._metrics.resumed(target.backend, continued=complete)

    def _make(
        self, job: Job, backend: Backend, outgoing: Outgoing, client: Downstream, *, armed: bool
    ) -> Attempt:
        if job.call.stream:
            first = backend.timeouts.first_byte
        else:
            name = job.target.backend if job.target is not None else ""
            first = self._paces[name].limit(backend.timeouts, job.call.answer_tokens)
        clocks = self._clocks(job, backend, min(first, job.deadline - time.monotonic()))
        if job.draft is not None and backend.trust == "internal":
            return drafting(job, (client, clocks, self._ticker, outgoing), backend)
        prefix = job.lines = job.prefix(job, backend, outgoing)
        if job.call.stream:
            relay = Resumable if armed else Relay
            return relay(client, prefix, clocks, self._ticker, outgoing.form)
        whole = Whole(client, prefix, clocks, self._ticker, outgoing.form)
        whole.delivers = job.delivers
        return whole

    def _clocks(self, job: Job, backend: Backend, first: float) -> Clocks:
        """Return an attempt's limits; `first` is how long something generated may take."""
        now = time.monotonic()
        timeouts = backend.timeouts
        end_by = min(now + timeouts.request, job.began + job.policy.max_duration)
        return Clocks(
            connect=timeouts.connect, commit_by=min(now + first, end_by),
            idle=timeouts.idle, end_by=end_by,
        )  # fmt: skip

    def _account(self, job: Job, target: Target, attempt: Attempt, ended: Ended | None) -> None:
        """Count an attempt's tokens: as the backend says, else as they were relayed."""
        usage = ended.usage if ended is not None else None
        if usage is not None:
            prompt, completion, cached = usage.prompt, usage.completion, usage.cached
        else:
            completion = attempt.relayed
            if not completion:
                return
            prompt, cached = job.call.prompt_tokens, 0
        estimated = usage is None or usage.estimated
        self._metrics.usage(
            target.backend, target.model, prompt, completion, cached, estimated=estimated
        )
        job.book(prompt, completion, cached)
        if ended is None or ended.first_token is None:
            return
        if job.call.stream:
            self._metrics.ttft(target.backend, ended.first_token)
            self._paces[target.backend].streamed(ended.first_token)
        else:
            self._paces[target.backend].whole(ended.first_token, completion)

    def _sooner(self, backend: str, seconds: float) -> bool:
        return self._registry.available(backend) and self._paces[backend].ttft < seconds
