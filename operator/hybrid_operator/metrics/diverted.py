"""Reading from a router what went past the local models, and what might not: pure."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from hybrid_operator.metrics.samples import lines, samples

REQUESTS = "hinf_router_diverted_requests_total"
TOKENS = "hinf_router_diverted_tokens_total"
LOCAL_ONLY = "hinf_router_local_only_tokens_total"
WAITING = "hinf_router_requests_waiting"
UNSERVED = "unserved"
"""The reason of requests that nobody answered."""

API = "api"
"""For all other reasons: a provider did."""

_LINES = lines((REQUESTS, TOKENS, LOCAL_ONLY, WAITING))


class Flow(NamedTuple):
    """What a local backend would have got; counters of one router, or their increase."""

    requests: float = 0.0
    prompt: float = 0.0
    """Tokens, cached ones among them."""
    generated: float = 0.0


class Past(NamedTuple):
    """Of one backend: what a provider answered, what nobody did, and what only it might."""

    api: Flow = Flow()
    unserved: Flow = Flow()
    waiting: float = 0.0
    """Requests that wait for a place, or for the first replica: now, not an increase."""
    local_only: Flow = Flow()
    """What it served and no API could have: tokens without their requests, cached ones apart."""


NOTHING = Past()


def parse(text: str) -> dict[str, Past]:
    """Return what a router's metrics say, by backend.

    Raises:
        ValueError: what is read is not Prometheus text, or counts nothing.
        KeyError: a label is missing.
    """
    waiting: dict[str, float] = defaultdict(float)
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for name, labels, value in samples(_LINES, text):
        if name == WAITING:
            waiting[labels["backend"]] += value
            continue
        reason = LOCAL_ONLY if name == LOCAL_ONLY else labels["reason"]
        into = sums[labels["backend"], reason if reason in (LOCAL_ONLY, UNSERVED) else API]
        if name == REQUESTS:
            into[0] += value
        else:
            into[1 if labels["kind"] == "prompt" else 2] += value
    return {
        name: Past(
            Flow(*sums[name, API]),
            Flow(*sums[name, UNSERVED]),
            waiting[name],
            Flow(*sums[name, LOCAL_ONLY]),
        )
        for name in {*(backend for backend, _ in list(sums)), *list(waiting)}
    }


def grown(before: Past, after: Past) -> Past:
    """Return the increase; a counter that went back has started again at 0."""
    return Past(
        _grown(before.api, after.api),
        _grown(before.unserved, after.unserved),
        after.waiting,
        _grown(before.local_only, after.local_only),
    )


def _grown(before: Flow, after: Flow) -> Flow:
    if any(b < a for a, b in zip(before, after, strict=True)):
        return after
    return Flow(*(b - a for a, b in zip(before, after, strict=True)))
