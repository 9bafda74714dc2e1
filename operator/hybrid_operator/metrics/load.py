"""From what engines and routers said, twice, to a sample of one model's load: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.core.scaling.capacity import Capacity, learn
from hybrid_operator.core.scaling.types import Sample
from hybrid_operator.metrics.histogram import added, percentile
from hybrid_operator.metrics.vllm import increase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.metrics.diverted import Past
    from hybrid_operator.metrics.vllm import EngineReading, Increase

PERCENTILE = 0.9
"""Of TTFT and ITL: llm-d's and Dynamo's, too."""
FULL_KV = 0.95
"""KV cache usage at which a replica takes no further request."""
BACKLOG_SECONDS = 15.0
"""Within which what waits is to be worked off."""
TYPICAL = (1000.0, 300.0)
"""Prompt and answer of a waiting request, in tokens, while none has ended."""
LIE = 10.0
"""A replica does not do more than so many times what it was seen to do."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of the API that would answer instead, in USD per million tokens."""

    input: float
    output: float

    def of_work(self, tokens: tuple[float, float], capacity: Capacity) -> float:
        """Return USD for an engine-second of work of this mix of prompt and generated tokens."""
        prompt, generated = tokens
        usd = prompt * self.input + generated * self.output
        return usd / 1e6 / capacity.work(prompt, generated)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was seen of one model since the last look."""

    seconds: float
    engines: Sequence[tuple[EngineReading | None, EngineReading | None]]
    """Of every ready pod: the reading before and the one now; None: there is none."""
    routers: Sequence[Past | None]
    """Of every ready router: the increase; None: unknown."""
    replicas: int
    ready: int


@dataclass(frozen=True, slots=True)
class Load:
    """A sample, and what was learnt of capacity."""

    sample: Sample
    capacity: Capacity


def load(seen: Seen, capacity: Capacity, price: Price | None) -> Load:
    """Return the load that was seen."""
    done: list[Increase] = []
    waiting = 0.0
    for before, after in seen.engines:
        if before is None or after is None:
            continue
        waiting += after.waiting
        grown = _done(before, after, capacity, seen.seconds)
        if grown is None:
            continue
        done.append(grown)
        queued = min(before.waiting, after.waiting) > 0
        saturated = queued or after.kv_usage >= FULL_KV or grown.preemptions > 0
        rates = grown.prompt / seen.seconds, grown.generated / seen.seconds
        capacity = learn(capacity, *rates, saturated=saturated and after.running > 0)
    past = [each for each in seen.routers if each is not None]
    at_routers = sum(each.waiting for each in past)
    prompt, generated, work = _work(done, past, capacity, seen.seconds)
    backlog = _backlog(waiting + at_routers, done, capacity)
    kept = sum(
        capacity.work(flow.prompt, flow.generated)
        for each in past
        for flow in (each.unserved, each.local_only)
    )
    demand, mix = work + backlog, (prompt, generated) if work > 0 else TYPICAL
    sample = Sample(
        seconds=seen.seconds,
        demand=demand,
        api_usd=None if price is None else demand * price.of_work(mix, capacity),
        # What waits although no replica runs may go nowhere else.
        local_only=kept / seen.seconds + (0.0 if seen.ready else backlog) if price else 0.0,
        replicas=seen.replicas,
        ready=seen.ready,
        requests=demand > 0
        or any(after is not None and after.running for _, after in seen.engines)
        or any(each.api.requests + each.unserved.requests + each.passed > 0 for each in past),
        ttft_seconds=percentile(added(each.ttft for each in done), PERCENTILE),
        itl_seconds=percentile(added(each.itl for each in done), PERCENTILE),
        tokens_in_flight=sum(each.in_flight for each in past),
        complete=len(done) == len(seen.engines) >= seen.ready
        and bool(past)
        and len(past) == len(seen.routers),
    )
    return Load(sample, capacity)


def _done(
    before: EngineReading, after: EngineReading, capacity: Capacity, seconds: float
) -> Increase | None:
    """Return what an engine did; None where its counters make no sense.

    Where one went back, and the engine does not say whether its process started again, it did if
    what it counts now can have been done since.
    """
    grown = increase(before, after)
    if grown is None or not grown.assumed:
        return grown
    return grown if capacity.work(grown.prompt, grown.generated) <= LIE * seconds else None


def _work(
    done: Sequence[Increase], past: Sequence[Past], capacity: Capacity, seconds: float
) -> tuple[float, float, float]:
    """Return prompt tokens, generated tokens, and replicas' worth of work asked for."""
    prompt = generated = work = 0.0
    for each in done:
        mine = capacity.work(each.prompt, each.generated)
        share = min(LIE * seconds / mine, 1.0) if mine > 0 else 1.0
        prompt += each.prompt * share
        generated += each.generated * share
        work += mine * share
    for flow in (flow for each in past for flow in (each.api, each.unserved)):
        prompt += flow.prompt
        generated += flow.generated
        work += capacity.work(flow.prompt, flow.generated)
    return prompt, generated, work / seconds


def _backlog(waiting: float, done: Sequence[Increase], capacity: Capacity) -> float:
    """Return the work of requests that wait, in replicas for `BACKLOG_SECONDS`."""
    if not waiting:
        return 0.0
    ended = sum(each.ttft.total for each in done)
    sums = sum(each.prompt for each in done), sum(each.generated for each in done)
    each = tuple(total / ended for total in sums) if ended else TYPICAL
    return waiting * capacity.work(*each) / BACKLOG_SECONDS
