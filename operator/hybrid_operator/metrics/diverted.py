"""Reading from a router what went past the local models, and what might not: pure."""

from __future__ import annotations

from collections import defaultdict
from operator import lt, sub
from typing import TYPE_CHECKING, NamedTuple

from hybrid_operator.metrics.samples import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUESTS = "hinf_router_diverted_requests_total"
TOKENS = "hinf_router_diverted_tokens_total"
LOCAL_ONLY = "hinf_router_local_only_tokens_total"
PASSED = "hinf_router_passed_requests_total"
WAITING = "hinf_router_requests_waiting"
IN_FLIGHT = "hinf_router_tokens_in_flight"
_SINGLE = {WAITING: "waiting", PASSED: "passed", IN_FLIGHT: "in_flight"}
"""Samples of a backend that have no further label."""

UNSERVED = "unserved"
"""The reason of requests that nobody answered."""

API = "api"
"""For all other reasons: a provider did."""


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
    passed: float = 0.0
    """Requests that went past it, as they did; `api` has them when their answers have ended."""
    in_flight: float = 0.0
    """Tokens of requests under way, estimated: now, not an increase."""


NOTHING = Past()


class Reading(NamedTuple):
    """What one router said."""

    past: Mapping[str, Past]
    """By backend; counters since its process started."""
    started: float = 0.0
    """When that was, in seconds since 1970; 0: it does not say."""


def read(text: str) -> Reading:
    """Return what a router's metrics say.

    Raises:
        ValueError: what is read is not Prometheus text, or counts nothing.
        KeyError: a label is missing.
    """
    page = Page(text)
    began = page.started()
    single: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for name, labels, value in page.samples(
        REQUESTS, TOKENS, PASSED, LOCAL_ONLY, WAITING, IN_FLIGHT
    ):
        if name in _SINGLE:
            if value:
                single[labels["backend"]][_SINGLE[name]] += value
            continue
        reason = LOCAL_ONLY if name == LOCAL_ONLY else labels["reason"]
        into = sums[labels["backend"], reason if reason in (LOCAL_ONLY, UNSERVED) else API]
        if name == REQUESTS:
            into[0] += value
        else:
            into[1 if labels["kind"] == "prompt" else 2] += value
    past = {
        name: Past(
            Flow(*sums[name, API]),
            Flow(*sums[name, UNSERVED]),
            single[name]["waiting"],
            Flow(*sums[name, LOCAL_ONLY]),
            single[name]["passed"],
            single[name]["in_flight"],
        )
        for name in {*(backend for backend, _ in sums), *single}
    }
    return Reading(past, began)


def increase(before: Reading, after: Reading) -> Mapping[str, Past] | None:
    """Return what was counted between; a process that has started again counts from 0.

    None: a counter went back although the process did not start again.
    """
    told = before.started > 0 and after.started > 0
    base = before.past if not told or before.started == after.started else {}
    pairs = {name: (base.get(name, NOTHING), past) for name, past in after.past.items()}
    if told and any(_back(old, new) for old, new in pairs.values()):
        return None
    return {name: grown(old, new) for name, (old, new) in pairs.items()}


def grown(before: Past, after: Past) -> Past:
    """Return the increase; a counter that went back has started again at 0."""
    return Past(
        _grown(before.api, after.api),
        _grown(before.unserved, after.unserved),
        after.waiting,
        _grown(before.local_only, after.local_only),
        after.passed - before.passed if after.passed >= before.passed else after.passed,
        after.in_flight,
    )


def _back(before: Past, after: Past) -> bool:
    """Whether a counter did not go on."""
    return any(map(lt, _counters(after), _counters(before)))


def _counters(past: Past) -> tuple[float, ...]:
    return (*past.api, *past.unserved, *past.local_only, past.passed)


def _grown(before: Flow, after: Flow) -> Flow:
    if any(map(lt, after, before)):
        return after
    return Flow(*map(sub, after, before))
