"""Reading from a router what went past the local models: pure."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "hinf_router_diverted_requests_total"
TOKENS = "hinf_router_diverted_tokens_total"
WAITING = "hinf_router_requests_waiting"
UNSERVED = "unserved"
"""The reason of requests that nobody answered."""


_READ = ("hinf_router_diverted_", WAITING)


class Flow(NamedTuple):
    """What a local backend would have got; counters of one router, or their increase."""

    requests: float = 0.0
    prompt: float = 0.0
    """Tokens, cached ones among them."""
    generated: float = 0.0


class Past(NamedTuple):
    """Of one backend: what a provider answered, and what nobody did."""

    api: Flow = Flow()
    unserved: Flow = Flow()
    waiting: float = 0.0
    """Requests that wait for a place, or for the first replica: now, not an increase."""


NOTHING = Past()


def parse(text: str) -> dict[str, Past]:
    """Return what a router's metrics say, by backend.

    Raises:
        ValueError: not Prometheus text.
    """
    kept = "".join(f"{x}\n" for x in text.split("\n") if x.startswith(_READ))
    waiting: dict[str, float] = defaultdict(float)
    sums: dict[tuple[str, bool], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for family in text_string_to_metric_families(kept):
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            if not 0 <= value < float("inf"):
                raise ValueError(f"{sample.name} is {value}")
            if sample.name == WAITING:
                waiting[labels["backend"]] += value
                continue
            into = sums[labels["backend"], labels["reason"] == UNSERVED]
            if sample.name == REQUESTS:
                into[0] += value
            elif sample.name == TOKENS:
                into[1 if labels["kind"] == "prompt" else 2] += value
    return {
        name: Past(Flow(*sums[name, False]), Flow(*sums[name, True]), waiting[name])
        for name in {*(backend for backend, _ in list(sums)), *list(waiting)}
    }


def grown(before: Past, after: Past) -> Past:
    """Return the increase; a counter that went back has started again at 0."""
    return Past(
        _grown(before.api, after.api), _grown(before.unserved, after.unserved), after.waiting
    )


def _grown(before: Flow, after: Flow) -> Flow:
    if after.requests < before.requests:
        return after
    return Flow(*(max(b - a, 0.0) for a, b in zip(before, after, strict=True)))
