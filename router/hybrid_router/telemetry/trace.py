"""What led to an answer, for the client that asks (`x-hybrid-trace: 1`), and W3C trace context.

The trace is the decision and the attempts so far, as compact JSON in one header. It holds nothing
of a prompt, and names that stand in the table only.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.core.decision import Decision
    from hybrid_router.upstream.job import Job

ASKED: Final = b"x-hybrid-trace"
_parent: Final = re.compile(rb"(00-(?!0{32})[0-9a-f]{32}-)(?!0{16})[0-9a-f]{16}(-[0-9a-f]{2})")


class Parent(NamedTuple):
    """A client's span, as `traceparent` names it; ids in hex."""

    trace: str
    span: str
    sampled: bool


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt that failed before anything was generated."""

    backend: str
    cause: str
    status: int = 0
    ms: int = 0


class _Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    reason: str
    confidence: float | None
    intent: str | None
    classifier: str | None
    targets: tuple[str, ...]
    prompt_tokens: int
    tried: tuple[Tried, ...] = ()
    spilled: bool = False
    answered_by: str = ""
    decided_ms: int = 0
    undrafted: str = ""
    """The field that forbids a draft."""


_encode: Final = msgspec.json.Encoder().encode


def trace_line(decision: Decision, job: Job) -> bytes:
    """Return the header line with the trace; empty where nobody asked."""
    if ASKED not in job.headers:
        return b""
    trace = _Trace(
        reason=str(decision.reason),
        confidence=decision.confidence,
        intent=decision.intent,
        classifier=decision.classifier,
        targets=tuple(f"{t.backend}:{t.model}" for t in job.targets),
        prompt_tokens=job.call.prompt_tokens,
        tried=tuple(job.trail),
        spilled=job.spilled,
        answered_by=job.target.backend if job.target is not None else "",
        decided_ms=round((time.monotonic() - job.began) * 1000),
        undrafted=decision.undrafted or "",
    )
    return b"x-hybrid-trace: %s\r\n" % _encode(trace)


def child_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the trace context's header lines for a request of ours: same trace, a new span.

    A `traceparent` that is malformed, or of a version that is not known, starts no trace.
    """
    given = headers.get(b"traceparent")
    found = _parent.fullmatch(given) if given is not None else None
    if found is None:
        return b""
    span = os.urandom(8).hex().encode()
    lines = b"traceparent: %s%s%s\r\n" % (found.group(1), span, found.group(2))
    state = headers.get(b"tracestate")
    return lines + b"tracestate: %s\r\n" % state if state is not None else lines


def parent_of(headers: Mapping[bytes, bytes]) -> Parent | None:
    """Return the client's span; None without one, or where `traceparent` is malformed."""
    given = headers.get(b"traceparent")
    if given is None or _parent.fullmatch(given) is None:
        return None
    _, trace, span, flags = given.decode().split("-")
    return Parent(trace, span, sampled=bool(int(flags, 16) & 1))
