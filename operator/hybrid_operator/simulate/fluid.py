"""The fluid model: work that is served or diverted at once, with an exact optimum.

A request of p prompt and g generated tokens is p / 8000 + g / 1000 engine-seconds. Ready replicas
serve 0.85 engine-seconds a second each; the rest goes to the API at its price. A replica costs from
the moment that it is asked for and serves a cold start later. The first part of a trace is warm-up,
the second counts.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hybrid_operator.simulate.trace import Trace

MILLION = 1e6
HOUR = 3600.0


TTFT_SECONDS, ITL_SECONDS = 2.0, 0.1
"""Objectives: to the first token, and between tokens."""


class Prices(NamedTuple):
    """In USD."""

    input: float
    """Of the API, per million tokens."""
    output: float
    gpu_hour: float = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What is replayed on."""

    prices: Prices
    step: float = 5.0
    """Seconds. Within a step, work counts as evenly spread."""
    prefill: float = 8000.0
    """Prompt tokens/s of a replica that does nothing else."""
    decode: float = 1000.0
    """Generated tokens/s of a replica that does nothing else."""
    utilization: float = 0.85
    cold_start: float = 90.0
    """Seconds."""
    warm_up: float = 0.5
    """Share of the trace that does not count."""
    volume: int = 1
    """Requests for every one of the trace."""
    most: int = 10_000
    """Replicas at most."""

    def work(self, prompt: float, generated: float) -> float:
        """Return engine-seconds."""
        return prompt / self.prefill + generated / self.decode

    def api_usd(self, prompt: float, generated: float) -> float:
        """Return what the API takes."""
        return (prompt * self.prices.input + generated * self.prices.output) / MILLION


@dataclass(frozen=True, slots=True)
class Load:
    """A trace in steps."""

    setting: Setting
    work: tuple[float, ...]
    """Replicas' worth of work asked for in each step: engine-seconds a second."""
    api_usd: tuple[float, ...]
    """What the API takes for all of a step's work."""
    tokens: tuple[float, ...]
    """Prompt and generated tokens of each step."""

    @property
    def counted(self) -> int:
        """Index of the first step that counts."""
        return int(len(self.work) * self.setting.warm_up)

    @property
    def peak(self) -> int:
        """Replicas that serve everything."""
        return math.ceil(max(self.work) / self.setting.utilization - 1e-9)


def load(trace: Trace, setting: Setting) -> Load:
    """Return a trace in steps."""
    count = int(trace.seconds / setting.step) + 1
    work, usd, tokens = [0.0] * count, [0.0] * count, [0.0] * count
    for each in trace.requests:
        at = int(each.at / setting.step)
        work[at] += setting.work(each.prompt, each.generated) * setting.volume / setting.step
        usd[at] += setting.api_usd(each.prompt, each.generated) * setting.volume
        tokens[at] += (each.prompt + each.generated) * setting.volume
    return Load(setting, tuple(work), tuple(usd), tuple(tokens))


class Seen(NamedTuple):
    """What a policy sees of the step that has just ended."""

    time: float
    """Seconds since the start."""
    seconds: float
    """Length of the step."""
    work: float
    """Replicas' worth of work asked for."""
    api_usd: float
    """What the API takes for all of it, per second."""
    tokens: float
    """Asked for, per second."""
    active: float
    """Requests under way at engines and API together, or `work` where there are no requests."""
    replicas: int
    ready: int
    pressure: float
    """The worse of `latencies` over their objectives; where there are none, the share of the ready
    replicas' capacity that is asked for."""
    latencies: tuple[float, float] | None = None
    """Seconds to the first token and between tokens: 90th percentiles of engines of late. None:
    there are no engines, or they answered nothing."""


class Scaler(Protocol):
    """A policy."""

    def replicas(self, seen: Seen) -> int:
        """Return how many replicas are asked for from now on."""


@dataclass(slots=True)
class Result:
    """What a policy did, warm-up left out."""

    gpu_hours: float = 0.0
    gpu_usd: float = 0.0
    api_usd: float = 0.0
    slo_attainment: float = 1.0
    """Share of requests within both objectives."""
    delayed: int = 0
    """Requests beyond an objective."""
    lost: int = 0
    reversals: int = 0
    """Changes of direction."""
    schedule: list[int] = field(default_factory=list)
    """Replicas asked for, by step, the warm-up among them."""

    @property
    def total_usd(self) -> float:
        """GPUs and API together."""
        return self.gpu_usd + self.api_usd


@dataclass(slots=True)
class Fleet:
    """Replicas and the time at which each serves; the newest ones go first."""

    cold_start: float
    ready_at: deque[float] = field(default_factory=deque)

    def set(self, replicas: int, now: float) -> None:
        """Ask for so many."""
        while len(self.ready_at) > replicas:
            self.ready_at.pop()
        while len(self.ready_at) < replicas:
            self.ready_at.append(now + self.cold_start)

    def ready(self, now: float) -> int:
        """Return how many serve."""
        return sum(at <= now + 1e-9 for at in self.ready_at)


def run(load: Load, scaler: Scaler) -> Result:
    """Replay a load under a policy, which sees a step when it has ended."""
    setting, result = load.setting, Result()
    fleet, asked = Fleet(setting.cold_start), 0
    for index, (work, usd, tokens) in enumerate(
        zip(load.work, load.api_usd, load.tokens, strict=True)
    ):
        now = index * setting.step
        fleet.set(asked, now)
        ready = fleet.ready(now)
        if index >= load.counted:
            served = min(work, ready * setting.utilization)
            result.api_usd += usd * (1 - served / work) if work > 0 else 0.0
            result.gpu_hours += asked * setting.step / HOUR
        result.schedule.append(asked)
        pressure = work / (ready * setting.utilization) if ready else float(work > 0)
        step = setting.step
        seen = Seen(now, step, work, usd / step, tokens / step, work, asked, ready, pressure)
        asked = min(max(scaler.replicas(seen), 0), setting.most)
    result.gpu_usd = result.gpu_hours * setting.prices.gpu_hour
    result.reversals = reversals(result.schedule[load.counted :])
    return result


def reversals(schedule: Sequence[int]) -> int:
    """Return how often a schedule changes its direction."""
    moves = [b > a for a, b in pairwise(schedule) if a != b]
    return sum(a != b for a, b in pairwise(moves))


class Best(NamedTuple):
    """The offline optimum."""

    usd: float
    """Of the steps that count."""
    schedule: list[int]
    """Replicas by step; 0 in the warm-up."""


def optimum(load: Load) -> Best:
    """Return the cheapest schedule that knows the future.

    Exact: the cost is a sum over levels, of which each is on or off in every step and pays one cold
    start to come on; so each is a two-state dynamic program. Whether it is on when counting begins
    is free, so that no policy can be better.
    """
    setting = load.setting
    total, schedule = 0.0, [0] * len(load.work)
    for level in range(max(load.peak, 0)):
        values = list(level_values(load, level * setting.utilization))
        usd, states = _level(values, setting)
        if not any(states):
            break  # a higher level has less work still
        total += usd - sum(values)
        for index, state in enumerate(states, load.counted):
            schedule[index] += state
    total += sum(load.api_usd[load.counted :])
    return Best(total, schedule)


def reactive(load: Load) -> float:
    """Return the USD of the best schedule that asks for a replica only where work for it was seen.

    When to let go, and whether a start will pay, it knows from the future; only that a burst is
    about to begin it does not. So no policy that waits for work can be better, and how far it is
    above the optimum is the price of not knowing. Exact, level by level as `optimum`.
    """
    setting, total, dear = load.setting, 0.0, True
    for level in range(max(load.peak, 0)):
        above = level * setting.utilization
        values = list(level_values(load, above))
        before = load.work[load.counted - 1] > above if load.counted else False
        usd = _reactive_level(values, setting, before=before) if dear else math.inf
        dear = usd < sum(values)  # a higher level has less work still
        total += min(usd, sum(values))
    return total


def _reactive_level(values: Sequence[float], setting: Setting, *, before: bool) -> float:
    each = setting.prices.gpu_hour / HOUR * setting.step
    delay = math.ceil(setting.cold_start / setting.step - 1e-9)
    sums = [0.0, *accumulate(values)]
    seen = [before, *(value > 0 for value in values)]
    off, on = [0.0], [0.0]
    """By step: what the steps before cost, and whether a replica serves from it on."""
    for index, value in enumerate(values):
        left, began = min(off[index], on[index]) + value, index + 1 - delay
        stays = on[index] + each
        if began >= 0 and seen[began]:
            started = min(off[began], on[began]) + each * delay
            stays = min(stays, started + sums[index + 1] - sums[began])
        off.append(left)
        on.append(stays)
    return min(off[-1], on[-1])


def level_values(load: Load, above: float) -> Iterator[float]:
    """Yield what the API takes for the work of one level, by step that counts."""
    size = load.setting.utilization
    for work, usd in zip(load.work[load.counted :], load.api_usd[load.counted :], strict=True):
        yield usd * min(work - above, size) / work if work > above else 0.0


def _level(values: Sequence[float], setting: Setting) -> tuple[float, list[bool]]:
    price = setting.prices.gpu_hour / HOUR
    start, each = price * setting.cold_start, price * setting.step
    on = off = 0.0
    came: list[tuple[bool, bool]] = []
    """By step, whether the state before was on: to be on, and to be off."""
    for value in values:
        stays, leaves = on <= off + start, on < off
        came.append((stays, leaves))
        on, off = min(on, off + start) + each, min(on, off) + value
    states, state = [False] * len(values), on < off
    for index in range(len(values) - 1, -1, -1):
        states[index] = state
        state = came[index][0] if state else came[index][1]
    return min(on, off), states
