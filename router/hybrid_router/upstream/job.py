"""A request on its way through its attempts, and where an attempt is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hybrid_router.datapolicy.gate import Clearance
from hybrid_router.openai.request import Call, Outgoing
from hybrid_router.table import Backend, Policy, Target
from hybrid_router.telemetry.trace import Tried
from hybrid_router.telemetry.tracing import Spans
from hybrid_router.upstream.attempt import Downstream, Ended
from hybrid_router.upstream.draft import Draft

if TYPE_CHECKING:
    from hybrid_router.core.limits import Reservation
    from hybrid_router.discovery.registry import Pool, Replica
    from hybrid_router.telemetry.tracing import AttemptSpan


class Job(msgspec.Struct, eq=False):
    """A request on its way through its attempts.

    Attributes:
        headers: of the client's request, by lower-case name.
        clearance: what may be done with the request.
        alias: the name stands for several targets.
        delivers: attempts write the answer to the client; else it is left in `last`.
        prefix: makes the response's own header lines for an attempt.
        draft: judges what a local model answers; None where nobody does, or it has been judged.
        lines: what `prefix` made for the last attempt.
        began: seconds of the monotonic clock.
        deadline: moment by which something generated must be there.
        attempts: made so far.
        last: how the last attempt ended.
        target: of the last attempt.
        trail: the attempts that failed, for a client that asks.
        failed: backends at which attempts failed.
        unsaid: what a backend's form could not say, where one was left out for that.
        withheld: why the data policy kept the request from a backend.
        usd: what its attempts have cost, at backends that have prices; None without any.
        queued: its turn at a queue has come.
        spilled: it did not wait for a local model that was busy, or waited in vain.
        at: index of the target that is tried.
        spans: the request's, where they are recorded.
        tried: replicas that have been tried, by URL.
    """

    call: Call
    client: Downstream
    headers: Mapping[bytes, bytes]
    request_id: str
    targets: tuple[Target, ...]
    policy: Policy
    clearance: Clearance
    alias: bool
    delivers: bool
    prefix: Callable[[Job, Backend, Outgoing], bytes]
    began: float
    draft: Draft | None = None
    deadline: float = 0.0
    attempts: int = 0
    last: Ended | None = None
    target: Target | None = None
    backend: Backend | None = None
    trail: list[Tried] = []
    failed: list[str] = []
    unsaid: str | None = None
    withheld: str | None = None
    lines: bytes = b""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    queued: bool = False
    spilled: bool = False
    at: int = 0
    spans: Spans | None = None
    tried: set[str] = set()

    @property
    def tokens(self) -> int:
        """Tokens that it will probably take: the prompt and the longest answer, estimated."""
        return self.call.prompt_tokens + self.call.answer_tokens

    @property
    def accounted(self) -> int:
        """Tokens that its attempts have taken so far."""
        return self.prompt_tokens + self.completion_tokens

    def book(self, prompt: int, completion: int) -> None:
        """Note the tokens of the last attempt, and what they cost where its backend has prices."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        if self.backend is None or self.target is None:
            return
        price = self.backend.prices.get(self.target.model)
        if price is not None:
            usd = (prompt * price.input + completion * price.output) / 1e6
            self.usd = usd + (self.usd or 0.0)

    def escalate(self) -> None:
        """Go on without a draft that was not taken: it was no attempt, and nobody has failed.

        What answers if all others fail is the local model, unjudged.
        """
        if self.draft is not None:
            self.targets, self.draft = self.draft.targets, None
        self.at, self.target = 0, None
        self.attempts -= 1
        self.tried.clear()

    @property
    def exhausted(self) -> bool:
        """Whether no further attempt may be made, whatever there is to try."""
        return self.attempts >= self.policy.attempts or time.monotonic() >= self.deadline


class Place(NamedTuple):
    """Where an attempt is made."""

    target: Target
    pool: Pool
    replica: Replica


class Held(NamedTuple):
    """What an attempt holds until it has ended.

    Attributes:
        tokens: outstanding at its replica.
        accounted: tokens that were booked for the request before.
        reserved: of the account's limits; None without limits.
        span: where spans are recorded.
    """

    tokens: int
    accounted: int
    reserved: Reservation | None
    span: AttemptSpan | None
