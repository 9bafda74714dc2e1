"""Reading a vLLM engine's metrics, whatever release wrote them: pure.

Names changed over releases (0.6 to 0.33): `gpu_cache_usage_perc` became `kv_cache_usage_perc` at
0.12, `time_per_output_token_seconds` became `inter_token_latency_seconds` at 0.15, and from 0.16
`prompt_tokens_by_source_total` tells computed prompt tokens from cached ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid_operator.metrics.histogram import EMPTY, Histogram, growth, histogram
from hybrid_operator.metrics.samples import lines, number, sample, started

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT = "vllm:prompt_tokens_total"
BY_SOURCE = "vllm:prompt_tokens_by_source_total"
CACHED = ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
GENERATED = "vllm:generation_tokens_total"
RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
WAITING_BY_REASON = "vllm:num_requests_waiting_by_reason"
KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
PREEMPTIONS = "vllm:num_preemptions_total"
TTFT = "vllm:time_to_first_token_seconds_bucket"
ITL = (
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:time_per_output_token_seconds_bucket",
)

_BUCKETS = frozenset({TTFT, *ITL})
_READ = frozenset(
    {PROMPT, BY_SOURCE, *CACHED, GENERATED, RUNNING, WAITING, WAITING_BY_REASON, *KV_USAGE}
    | {PREEMPTIONS, TTFT, *ITL}
)
_LINES = lines(_READ, r'(?:(?<=_bucket)\{(?:.*,)?le="([^"\n]+)"\} (\S+)(?=\n|$)|(.*))')
"""Name, then bound and value of a bucket as vLLM writes it, as most are, or the rest as it is."""
MAX_LINES = 100_000


class EngineError(ValueError):
    """The text is not what a vLLM engine's /metrics says."""


@dataclass(frozen=True, slots=True)
class EngineReading:
    """What one engine said; counters since its process started."""

    prompt: float
    """Prompt tokens that were computed, cached ones apart."""
    generated: float
    """Tokens."""
    running: float = 0.0
    waiting: float = 0.0
    """For want of capacity; what is deferred for other reasons is not among them."""
    kv_usage: float = 0.0
    """0 to 1."""
    preemptions: float = 0.0
    ttft: Histogram = EMPTY
    """Requests by seconds."""
    itl: Histogram = EMPTY
    all_prompt: float = 0.0
    """Prompt tokens, cached ones among them."""
    started: float = 0.0
    """When its process did, in seconds since 1970; 0: it does not say."""


@dataclass(slots=True)
class _Sums:
    """Sums over an engine's own labels (data parallel ranks, model names)."""

    values: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    computed: float | None = None
    capacity: float | None = None
    started: float = 0.0
    buckets: dict[str, dict[float, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )


def parse(pod: str, text: str) -> EngineReading:
    """Read the metrics of the engine `pod`.

    Raises:
        EngineError: a count of tokens is missing, or a value is negative or no number.
    """
    try:
        return _reading(_sums(text))
    except ValueError as error:
        raise EngineError(f"engine {pod}: {error}") from None


def _sums(text: str) -> _Sums:
    if text.count("\n") >= MAX_LINES:
        raise ValueError(f"its metrics have more than {MAX_LINES} lines")
    sums = _Sums(started=started(text))
    for name, bound, value, rest in _LINES.findall(f"\n{text}"):
        if bound:
            sums.buckets[name][_bound(name, bound)] += number(name, value)
        else:
            _take(sums, name, rest)
    return sums


def _reading(sums: _Sums) -> EngineReading:
    values = sums.values
    for name in (PROMPT, GENERATED):
        if name not in values:
            raise ValueError(f"{name} is missing from its metrics")
    computed = sums.computed
    if computed is None:
        computed = max(values[PROMPT] - _first(values, CACHED), 0.0)
    return EngineReading(
        prompt=computed,
        generated=values[GENERATED],
        running=values[RUNNING],
        waiting=values[WAITING] if sums.capacity is None else sums.capacity,
        kv_usage=min(_first(values, KV_USAGE), 1.0),
        preemptions=values[PREEMPTIONS],
        ttft=histogram(sums.buckets[TTFT]),
        itl=histogram(sums.buckets[ITL[0]] or sums.buckets[ITL[1]]),
        all_prompt=values[PROMPT],
        started=sums.started,
    )


def _take(sums: _Sums, name: str, rest: str) -> None:
    _, labels, value = sample(name, rest)
    if name == BY_SOURCE:
        mine = value if labels.get("source") == "local_compute" else 0.0
        sums.computed = (sums.computed or 0.0) + mine
    elif name == WAITING_BY_REASON:
        mine = value if labels.get("reason") == "capacity" else 0.0
        sums.capacity = (sums.capacity or 0.0) + mine
    elif name in _BUCKETS:
        sums.buckets[name][_bound(name, labels.get("le", ""))] += value
    elif name in KV_USAGE:
        sums.values[name] = max(sums.values[name], value)
    else:
        sums.values[name] += value


def _bound(name: str, text: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise ValueError(f"{name} has a bucket up to {text[:20]!r}")
    return bound


def _first(values: Mapping[str, float], names: tuple[str, ...]) -> float:
    return next((values[name] for name in names if name in values), 0.0)


@dataclass(frozen=True, slots=True)
class Increase:
    """What an engine did between two readings."""

    prompt: float
    generated: float
    preemptions: float
    ttft: Histogram
    itl: Histogram
    assumed: bool = False
    """Whether a counter went back and the engine does not say when its process started."""


def increase(before: EngineReading, after: EngineReading) -> Increase | None:
    """Return what was counted between; a process that has started again counts from 0.

    None: a counter went back although the process did not start again.
    """
    back = after.generated < before.generated or after.all_prompt < before.all_prompt
    told = before.started > 0 and after.started > 0
    again = told and after.started != before.started
    if back and told and not again:
        return None
    base = EngineReading(0.0, 0.0) if back or again else before
    return Increase(
        # A release that tells no computed tokens counts hits of the cache before their prompt.
        prompt=max(after.prompt - base.prompt, 0.0),
        generated=after.generated - base.generated,
        preemptions=max(after.preemptions - base.preemptions, 0.0),
        ttft=growth(base.ttft, after.ttft),
        itl=growth(base.itl, after.itl),
        assumed=back and not again,
    )
