"""The discrete event simulator: engines that queue, cold starts that vary, an API with latency.

The router sends a request to the less busy of two engines drawn at random, as the real one does,
and to the API when none is ready, or where that one would begin behind others, later than the
objective says and than the API. A replica that goes takes no new request and ends when its last one
has. Steps of engines are as short as the operator makes them for the objective between tokens.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid_operator.core.engine.throughput import Rates
from hybrid_operator.simulate.engine import BATCHED, FASTEST, FULL, Engine, Job
from hybrid_operator.simulate.fluid import (
    HOUR,
    ITL_SECONDS,
    TTFT_SECONDS,
    Result,
    Seen,
    reversals,
)

if TYPE_CHECKING:
    from hybrid_operator.simulate.fluid import Scaler, Setting
    from hybrid_operator.simulate.trace import Request, Trace

API_TTFT_SECONDS, API_ITL_SECONDS = 0.6, 0.02
"""Median latency of the API."""
LEAST_TOKENS, LEAST_SHARE, QUANTILE, LAST_STEP = 512, 0.25, 0.1, 0.05
"""Of what the router learns."""
SPREAD = 0.25
"""Sigma of the logarithm of the API's latency and of cold starts."""
PERIOD = 5.0
"""Seconds between two looks of a policy."""
LATENCY_SECONDS, LATENCY_QUANTILE = 60.0, 0.9
"""Over which a policy sees the latencies of engines, and which of them."""


@dataclass(slots=True)
class Prefill:
    """How fast engines compute prompts, as the router learns it (`core/prefill.py` there)."""

    rate: float
    step: float = 0.5

    def took(self, tokens: int, seconds: float) -> None:
        """Learn from a request: the tokens of its prompt and of those before it."""
        least = min(LEAST_TOKENS, LEAST_SHARE * TTFT_SECONDS * self.rate)
        if tokens < least or seconds <= 0:
            return
        self.step = max(self.step * 0.9, LAST_STEP)
        ratio = tokens / (self.rate * seconds)
        moves = self.step * (QUANTILE if ratio > 1 else QUANTILE - 1)
        self.rate *= (1 + moves) * ratio ** (self.step - LAST_STEP)


@dataclass(slots=True)
class _Period:
    """What was asked for since the last look."""

    work: float = 0.0
    usd: float = 0.0
    tokens: float = 0.0


@dataclass(slots=True)
class Simulation:
    """One policy on one trace."""

    trace: Trace
    setting: Setting
    scaler: Scaler
    seed: int = 1
    result: Result = field(default_factory=Result)
    engines: list[Engine] = field(default_factory=list)
    _leaving: list[Engine] = field(default_factory=list)
    _draw: random.Random = field(init=False)
    _api_until: list[float] = field(default_factory=list)
    _good: int = 0
    _requests: int = 0
    _now: float = 0.0
    _ready: list[Engine] = field(default_factory=list)
    _period: _Period = field(default_factory=_Period)
    _latencies: deque[tuple[float, float, float]] = field(default_factory=deque)
    """Of engines of late: when, and seconds to the first token and between tokens."""
    _slots: float = field(init=False)
    _prefill: Prefill = field(init=False)
    _batched: int = field(init=False)
    """Tokens of an engine's step."""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)  # noqa: S311  a simulation's
        self._slots = slots(self.trace, self.setting)
        rates = Rates(1 / FASTEST, FULL, self.setting.prefill)
        self._batched = min(rates.step_tokens(ITL_SECONDS), BATCHED)
        self._prefill = Prefill(rates.prefill_in_steps(self._batched))

    @property
    def _counted_from(self) -> float:
        return self.trace.seconds * self.setting.warm_up

    def run(self) -> Result:
        """Replay, and return what counts."""
        look = PERIOD
        for request in self.trace.requests:
            while request.at >= look:
                self._look(look)
                look += PERIOD
            for _ in range(self.setting.volume):
                self._arrive(request)
        self._look(look)
        self._end()
        result = self.result
        result.gpu_usd = result.gpu_hours * self.setting.prices.gpu_hour
        result.slo_attainment = self._good / self._requests if self._requests else 1.0
        result.delayed = self._requests - self._good - result.lost
        first = int(self._counted_from / PERIOD)
        result.reversals = reversals(result.schedule[first:])
        return result

    def _arrive(self, request: Request) -> None:
        work = self.setting.work(request.prompt, request.generated)
        usd = self.setting.api_usd(request.prompt, request.generated)
        self._period.work += work
        self._period.usd += usd
        self._period.tokens += request.prompt + request.generated
        best = self._choose(request.at)
        if best is None:
            self._to_api(request, usd)
            return
        before = best.prefilling + request.prompt
        if best.prefilling and before / self._prefill.rate > TTFT_SECONDS:
            self._to_api(request, usd)
            return
        best.add(Job(request.at, request.prompt, request.generated, before))

    def _choose(self, at: float) -> Engine | None:
        count = len(self._ready)
        if count == 0:
            return None
        first = int(self._draw.random() * count)
        one = self._ready[first]
        one.advance(at)
        if count == 1:
            return one
        other = self._ready[(first + 1 + int(self._draw.random() * (count - 1))) % count]
        other.advance(at)
        return other if other.backlog < one.backlog else one

    def _to_api(self, request: Request, usd: float) -> None:
        slower = self._draw.lognormvariate(0, SPREAD)
        ttft, itl = API_TTFT_SECONDS * slower, API_ITL_SECONDS * slower
        self._api_until.append(request.at + ttft + itl * request.generated)
        self._judge(request.at, ttft, itl)
        if request.at >= self._counted_from:
            self.result.api_usd += usd

    def _judge(self, arrived: float, ttft: float, itl: float) -> None:
        if arrived >= self._counted_from:
            self._requests += 1
            self._good += ttft <= TTFT_SECONDS and itl <= ITL_SECONDS

    def _look(self, at: float) -> None:
        self._pass(at)
        period, self._period = self._period, _Period()
        self._api_until = [until for until in self._api_until if until > at]
        active = sum(each.active for each in self.engines) + len(self._api_until)
        asked, latencies = len(self.engines), self._late(at)
        seen = Seen(
            time=at,
            seconds=PERIOD,
            work=period.work / PERIOD,
            api_usd=period.usd / PERIOD,
            tokens=period.tokens / PERIOD,
            active=active / self._slots,
            replicas=asked,
            ready=sum(each.ready_at <= at for each in self.engines),
            pressure=max(latencies[0] / TTFT_SECONDS, latencies[1] / ITL_SECONDS)
            if latencies
            else 0.0,
            latencies=latencies,
        )
        wanted = min(max(self.scaler.replicas(seen), 0), self.setting.most)
        self.result.schedule.append(wanted)
        self._scale(wanted, at)
        self._ready = [each for each in self.engines if each.ready_at <= at]

    def _scale(self, wanted: int, at: float) -> None:
        while len(self.engines) > wanted:
            # As pod deletion cost has it: what starts goes first, then what is idle.
            engine = min(self.engines, key=lambda one: (one.ready_at <= at, one.backlog))
            self.engines.remove(engine)
            self._leaving.append(engine)
        while len(self.engines) < wanted:
            cold = self.setting.cold_start * self._draw.lognormvariate(0, SPREAD)
            setting = self.setting
            rates = setting.prefill, setting.decode
            self.engines.append(Engine(*rates, at + cold, now=at, batched=self._batched))

    def _pass(self, until: float) -> None:
        """Let time pass for all engines."""
        counted = max(until - max(self._now, self._counted_from), 0.0)
        self.result.gpu_hours += (len(self.engines) + len(self._leaving)) * counted / HOUR
        self._now = until
        for engine in (*self.engines, *self._leaving):
            engine.advance(until)
            self._collect(engine)
        self._leaving = [engine for engine in self._leaving if engine.active]

    def _collect(self, engine: Engine) -> None:
        for job in engine.finished:
            first = job.first_token if job.first_token is not None else job.arrived
            done = job.done if job.done is not None else first
            itl = (done - first) / (job.generated - 1) if job.generated > 1 else 0.0
            ttft = first - job.arrived
            self._judge(job.arrived, ttft, itl)
            self._latencies.append((done, ttft, itl))
            self._prefill.took(job.before, ttft)
        engine.finished.clear()

    def _late(self, at: float) -> tuple[float, float] | None:
        while self._latencies and self._latencies[0][0] <= at - LATENCY_SECONDS:
            self._latencies.popleft()
        if not self._latencies:
            return None
        index = int(len(self._latencies) * LATENCY_QUANTILE)
        ttft = sorted(each[1] for each in self._latencies)
        itl = sorted(each[2] for each in self._latencies)
        return ttft[index], itl[index]

    def _end(self) -> None:
        for engine in (*self.engines, *self._leaving):
            while engine.active:
                engine.advance(engine.next_event())
            self._collect(engine)


def lower_bound(trace: Trace, setting: Setting) -> float:
    """Return USD below which no policy can be in this model.

    A replica does at most one engine-second a second. So a request that counts costs what the API
    takes for it, or at least its own engine-seconds of a replica.
    """
    price, first = setting.prices.gpu_hour / HOUR, trace.seconds * setting.warm_up
    return setting.volume * sum(
        min(
            setting.api_usd(each.prompt, each.generated),
            setting.work(each.prompt, each.generated) * price,
        )
        for each in trace.requests
        if each.at >= first
    )


def slots(trace: Trace, setting: Setting) -> float:
    """Return the requests that are at a replica at once when it works at its capacity."""
    count = len(trace.requests)
    work = sum(setting.work(each.prompt, each.generated) for each in trace.requests) / count
    alone = sum(each.prompt / setting.prefill + each.generated / FASTEST for each in trace.requests)
    return max(alone / count / work, 1.0) if work else 1.0
