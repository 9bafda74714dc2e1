"""Reading a vLLM engine's metrics, whatever release wrote them: pure.

Names changed over releases (0.6 to 0.33): `gpu_cache_usage_perc` became `kv_cache_usage_perc` at
0.12, `time_per_output_token_seconds` became `inter_token_latency_seconds` at 0.15, and from 0.16
`prompt_tokens_by_source_total` tells computed prompt tokens from cached ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_operator.metrics.histogram import EMPTY, Histogram, growth, histogram
from hybrid_operator.metrics.samples import Page

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


def parse(pod: str, text: str) -> EngineReading:
    """Read the metrics of the engine `pod`.

    Raises:
        EngineError: a count of tokens is missing, or a value is negative or no number.
    """
    try:
        return _reading(text)
    except ValueError as error:
        raise EngineError(f"engine {pod}: {error}") from None


def _reading(text: str) -> EngineReading:
    """Read a page; metrics are asked for in the order in which vLLM writes them."""
    if len(text) >= MAX_LINES <= text.count("\n"):
        raise ValueError(f"its metrics have more than {MAX_LINES} lines")
    page = Page(text)
    started, running, waiting = page.started(), sum(page.values(RUNNING)), _waiting(page)
    kv_usage = max(_first(page, KV_USAGE), default=0.0)
    cached, preemptions = sum(_first(page, CACHED)), sum(page.values(PREEMPTIONS))
    prompt, computed = _told(page, PROMPT), _only(page, BY_SOURCE, "source", "local_compute")
    generated = _told(page, GENERATED)
    ttft = page.buckets(TTFT)
    itl = page.buckets(ITL[0]) or page.buckets(ITL[1])
    return EngineReading(
        prompt=max(prompt - cached, 0.0) if computed is None else computed,
        generated=generated,
        running=running,
        waiting=waiting,
        kv_usage=min(kv_usage, 1.0),
        preemptions=preemptions,
        ttft=histogram(ttft),
        itl=histogram(itl),
        all_prompt=prompt,
        started=started,
    )


def _waiting(page: Page) -> float:
    everything = sum(page.values(WAITING))
    capacity = _only(page, WAITING_BY_REASON, "reason", "capacity")
    return everything if capacity is None else capacity


def _told(page: Page, name: str) -> float:
    values = page.values(name)
    if not values:
        raise ValueError(f"{name} is missing from its metrics")
    return sum(values)


def _first(page: Page, names: tuple[str, ...]) -> list[float]:
    """Return the values of the first metric that the page has."""
    return next((values for values in map(page.values, names) if values), [])


def _only(page: Page, name: str, label: str, value: str) -> float | None:
    """Return what a metric says with that label; None: the page does not have the metric."""
    found = list(page.samples(name))
    mine = [each.value for each in found if each.labels.get(label) == value]
    return sum(mine) if found else None


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
