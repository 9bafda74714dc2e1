"""Comparison: of a small share of requests, both sides' answers, judged by a stronger model.

Feedback tells of answers that were given. What the local model would have said where the API was
asked, nobody sees; a comparison does, so that a fit has evidence on both sides of the threshold. It
happens after the client has its answer, asks both sides afresh (the answer that went out may have
been a stream that nobody kept), and stops when the day's money is spent. A request in which the
data policy found anything is never compared.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.classify.prompt import Prompt
from hybrid_router.datapolicy import document
from hybrid_router.openai.answer import NotAnAnswerError, chat_content
from hybrid_router.openai.body import encode
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import parse
from hybrid_router.outcomes import judge
from hybrid_router.telemetry.access import Outcome
from hybrid_router.upstream.job import Asker, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.answering import Answering
    from hybrid_router.datapolicy.gate import Clearance
    from hybrid_router.datapolicy.source import Gates
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.openai.request import Call
    from hybrid_router.outcomes.desk import Desk
    from hybrid_router.server.exchange import Exchange, Flow
    from hybrid_router.table import Comparison, RouteTable, Target
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.failover import Failover

_log = logging.getLogger(__name__)

AT_ONCE = 2
"""Comparisons under way; one more is passed over."""
MOST_BYTES = 64 * 1024
"""Of a request; what is longer costs too much and is seldom judged well."""
MOST_ANSWER_TOKENS = 1_024
_UNCOMPARED = ("tools", "functions", "n", "logprobs", "audio", "modalities")
"""Fields of requests whose answers are not one text."""
_DROPPED = ("stream", "stream_options", "max_tokens", "max_completion_tokens")
DAY = 86_400


class Purse:
    """The money of one day, in USD; days are UTC's."""

    def __init__(self) -> None:
        self._day = -1
        self.spent = 0.0

    def take(self, usd: float, limit: float, now: float) -> bool:
        """Set `usd` aside, if that keeps within `limit`."""
        day = int(now // DAY)
        if day != self._day:
            self._day, self.spent = day, 0.0
        if self.spent + usd > limit:
            return False
        self.spent += usd
        return True

    def settle(self, taken: float, used: float, at: float) -> None:
        """Put back what was not used of what was set aside at that moment, if it is that day's."""
        if int(at // DAY) == self._day:
            self.spent += used - taken


@dataclass(frozen=True, slots=True)
class _Case:
    """A request to be compared."""

    request_id: str
    feedback_id: str
    key_id: str | None
    said: float
    served: str
    """The side that answered the client."""
    call: Call
    table: RouteTable
    clearance: Clearance
    local: Target
    api: Target
    comparison: Comparison


class Comparing:
    """Picks requests, and compares them in the background.

    Args:
        failover: asks backends.
        gates: judge what the judge is told by the data policy.
        desk: takes the outcomes.
        metrics: counts.
        registry: knows what is busy, and how many routers share the day's money.
        draw: returns chances in [0, 1).
    """

    def __init__(
        self,
        failover: Failover,
        gates: Gates,
        desk: Desk,
        metrics: Metrics,
        registry: Registry,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._failover, self._gates, self._desk = failover, gates, desk
        self._metrics, self._registry, self._draw = metrics, registry, draw
        self._purse = Purse()
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, exchange: Exchange, answering: Answering, source: str, status: int) -> None:
        """Compare a request that has been answered, if chance, policy and money are for it."""
        comparison = answering.table.policy.comparison
        if comparison is None or self._draw() >= comparison.share or len(self._tasks) >= AT_ONCE:
            return
        case = _case(exchange, answering, source, status)
        usd = _estimate(case) if case is not None else None
        if case is None or usd is None or not self._idle(case):
            return
        limit, now = comparison.usd_per_day / self._registry.routers, time.time()
        if not self._purse.take(usd, limit, now):
            self._metrics.compared("no-money", 0.0)
            return
        task = asyncio.get_running_loop().create_task(self._run(case, usd, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _idle(self, case: _Case) -> bool:
        """Return whether both sides have room: nobody waits, or is woken, for a comparison."""
        pool = self._registry.pool(case.local.backend)
        if pool.full or pool.asleep:
            return False
        return all(self._registry.available(t.backend) for t in (case.local, case.api))

    async def close(self) -> None:
        """End what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, case: _Case, taken: float, at: float) -> None:
        jobs: list[Job] = []
        outcome = "failed"
        try:
            if await self._compare(case, jobs):
                outcome = "judged"
        except (ApiError, NotAnAnswerError):
            pass
        except Exception as error:  # noqa: BLE001  a fault here must not be anybody's
            _log.error("a comparison failed: %s", type(error).__name__)
        finally:
            used = sum(_paid(case.table, job) for job in jobs)
            self._purse.settle(taken, used, at)
            self._metrics.compared(outcome, used)

    async def _compare(self, case: _Case, jobs: list[Job]) -> bool:
        """Return whether the judge has judged."""
        call = _afresh(case.call)
        texts = [
            await self._ask(case, call, target, case.clearance, jobs)
            for target in (case.local, case.api)
        ]
        local, api = texts
        if local is None or api is None:
            return False
        swapped = self._draw() < 0.5  # noqa: PLR2004  judges favour places
        first, second = (api, local) if swapped else (local, api)
        body = judge.question(_told(case.call), first, second)
        clearance = await self._gates.judge(case.table, body)
        if clearance.ruling.names:
            return False
        asked = parse("chat", body)
        said = await self._ask(case, asked, case.comparison.judge, clearance, jobs)
        found = judge.verdict(said) if said is not None else None
        if found is None:
            return False
        good = dict(zip(("api", "local") if swapped else ("local", "api"), found, strict=True))
        for side, well in good.items():
            outcome = Outcome(
                time=time.time(), request_id=case.request_id, feedback_id=case.feedback_id,
                source="judge", score=float(well), side=side, key=case.key_id,
            )  # fmt: skip
            self._desk.compared(outcome, case.served, case.said)
        return True

    async def _ask(
        self, case: _Case, call: Call, target: Target, clearance: Clearance, jobs: list[Job]
    ) -> str | None:
        policy = msgspec.structs.replace(case.table.policy, attempts=1)
        asker = Asker(_Nobody(), {}, case.request_id, time.monotonic())
        job = Job(asker, call, (target,), policy, clearance, lambda *_: b"")
        job.delivers = False
        jobs.append(job)
        if not await self._failover.run(job) or job.last is None:
            return None
        if job.last.failure is not None or job.last.status != 200:  # noqa: PLR2004  OK
            return None
        return chat_content(job.last.body) or None


class _Nobody:
    """The client of an answer that nobody waits for."""

    flow: Flow | None = None

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Drop it."""

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Drop it."""

    def send(self, data: bytes) -> None:
        """Drop it."""

    def chunked(self) -> None:
        """Nothing passes by."""

    def finish(self) -> None:
        """Nothing is left open."""

    def attach(self, flow: Flow) -> None:
        """Never asked: nothing is streamed."""

    def cut(self) -> None:
        """Nothing to break off."""


def _case(exchange: Exchange, answering: Answering, source: str, status: int) -> _Case | None:
    """Return the request as a case; None where it may not, or cannot well, be compared."""
    call, decision = answering.call, answering.decision
    comparison = answering.table.policy.comparison
    if call is None or decision is None or comparison is None or decision.confidence is None:
        return None
    if status != 200 or call.kind != "chat" or len(call.body) > MOST_BYTES:  # noqa: PLR2004  OK
        return None
    if answering.clearance.ruling.names or any(name in call.fields for name in _UNCOMPARED):
        return None
    backends = answering.table.backends
    local = [t for t in decision.targets if backends[t.backend].trust == "internal"]
    api = [t for t in decision.targets if backends[t.backend].trust != "internal"]
    if not local or not api or answering.table.policy.local_only is not None:
        return None
    if not _is_text(call.body):
        return None
    return _Case(
        exchange.request_id, answering.feedback_id, exchange.key_id, decision.confidence, source,
        call, answering.table, answering.clearance, local[0], api[0], comparison,
    )  # fmt: skip


def _is_text(body: bytes) -> bool:
    """Return whether a request holds text alone: a judge sees no pictures."""
    try:
        return not document.read(body).unscanned
    except ValueError:
        return False


def _afresh(call: Call) -> Call:
    """Return the same request, answered as a whole and not at length."""
    fields: dict[str, object] = {k: v for k, v in call.fields.items() if k not in _DROPPED}
    fields["max_tokens"] = min(call.answer_tokens, MOST_ANSWER_TOKENS)
    return parse("chat", encode(fields))


def _told(call: Call) -> str:
    """Return the request as the judge reads it: the last user turn, and what came before."""
    prompt = Prompt.from_messages(call.messages())
    return f"{prompt.context}\n\n{prompt.turn}" if prompt.context else prompt.turn


def _price(table: RouteTable, target: Target) -> tuple[float, float] | None:
    """Return USD per token in and out; None where that is unknown, and money could be lost."""
    backend = table.backends.get(target.backend)
    if backend is None:
        return None
    price = backend.prices.get(target.model)
    if price is None:
        return (0.0, 0.0) if backend.trust == "internal" else None
    return price.input / 1e6, price.output / 1e6


def _estimate(case: _Case) -> float | None:
    """Return what a comparison may cost at most, in USD; None where a price is unknown."""
    answer = min(case.call.answer_tokens, MOST_ANSWER_TOKENS)
    asked = case.call.prompt_tokens
    usd = 0.0
    for target, tokens_in, tokens_out in (
        (case.local, asked, answer),
        (case.api, asked, answer),
        (case.comparison.judge, asked + 2 * answer + 200, judge.MOST_TOKENS),
    ):
        price = _price(case.table, target)
        if price is None:
            return None
        usd += tokens_in * price[0] + tokens_out * price[1]
    return usd


def _paid(table: RouteTable, job: Job) -> float:
    price = _price(table, job.targets[0]) or (0.0, 0.0)
    return job.prompt_tokens * price[0] + job.completion_tokens * price[1]
