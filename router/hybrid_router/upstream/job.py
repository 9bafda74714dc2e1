"""A request on its way through its attempts, and where an attempt is made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hybrid_router.datapolicy.gate import WithheldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_router.core.limits import Reservation
    from hybrid_router.datapolicy.gate import Clearance, Cleared
    from hybrid_router.discovery.registry import Pool
    from hybrid_router.discovery.replica import Prompt, Replica
    from hybrid_router.openai.request import Call, Outgoing
    from hybrid_router.table import Backend, DataPolicy, Policy, Target
    from hybrid_router.telemetry.trace import Tried
    from hybrid_router.telemetry.tracing import AttemptSpan, Spans
    from hybrid_router.upstream.attempt import Downstream, Ended
    from hybrid_router.upstream.draft import Draft


class Asker:
    """Who asks.

    Attributes:
        headers: of the client's request, by lower-case name.
        began: seconds of the monotonic clock.
    """

    def __init__(
        self, client: Downstream, headers: Mapping[bytes, bytes], request_id: str, began: float
    ) -> None:
        self.client = client
        self.headers = headers
        self.request_id = request_id
        self.began = began


class Job:
    """A request on its way through its attempts.

    A class of its own attributes, which compiled code reads at the price of a pointer: a hundred
    of them are read in a request.

    Attributes:
        clearance: what may be done with the request.
        prefix: makes the response's own header lines for an attempt.
        alias: the name stands for several targets.
        delivers: attempts write the answer to the client; else it is left in `last`.
        draft: judges what a local model answers; None where nobody does, or it has been judged.
        lines: what `prefix` made for the last attempt.
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

    def __init__(
        self,
        asker: Asker,
        call: Call,
        targets: tuple[Target, ...],
        policy: Policy,
        clearance: Clearance,
        prefix: Callable[[Job, Backend, Outgoing], bytes],
    ) -> None:
        self.client = asker.client
        self.headers = asker.headers
        self.request_id = asker.request_id
        self.began = asker.began
        self.call = call
        self.targets = targets
        self.policy = policy
        self.clearance = clearance
        self.prefix = prefix
        self.alias = False
        self.delivers = True
        self.draft: Draft | None = None
        self.deadline = 0.0
        self.attempts = 0
        self.last: Ended | None = None
        self.target: Target | None = None
        self.backend: Backend | None = None
        self.trail: list[Tried] = []
        self.failed: list[str] = []
        self.unsaid: str | None = None
        self.withheld: str | None = None
        self.lines = b""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.usd: float | None = None
        self.queued = False
        self.spilled = False
        self.at = 0
        self.spans: Spans | None = None
        self.tried: set[str] = set()

    @property
    def tokens(self) -> int:
        """Tokens that it will probably take: the prompt and the longest answer, estimated."""
        return self.call.prompt_tokens + self.call.answer_tokens

    @property
    def accounted(self) -> int:
        """Tokens that its attempts have taken so far."""
        return self.prompt_tokens + self.completion_tokens

    def book(self, prompt: int, completion: int, cached: int) -> None:
        """Note the tokens of the last attempt, and what they cost where its backend has prices."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.cached_tokens += cached
        if self.backend is None or self.target is None:
            return
        price = self.backend.prices.get(self.target.model)
        if price is not None:
            usd = (prompt * price.input + completion * price.output) / 1e6
            self.usd = usd + (self.usd or 0.0)

    def cleared(
        self, body: bytes, backend: Backend, policy: DataPolicy | None, *, anew: bool
    ) -> Cleared | None:
        """Return what may be sent to a backend under the policy in force; None: nothing may."""
        try:
            return self.clearance.clear(body, backend, policy, anew=anew)
        except WithheldError as error:
            self.withheld = str(error)
            return None

    def put_off(self) -> None:
        """Let the targets behind the present one be tried before it."""
        at = self.at
        self.targets = (*self.targets[:at], *self.targets[at + 1 :], self.targets[at])
        self.spilled = True

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


class Place:
    """Where an attempt is made."""

    def __init__(self, target: Target, pool: Pool, replica: Replica) -> None:
        self.target = target
        self.pool = pool
        self.replica = replica


class Held:
    """What an attempt holds until it has ended.

    Attributes:
        tokens: outstanding at its replica.
        accounted: tokens that were booked for the request before.
        reserved: of the account's limits; None without limits.
        span: where spans are recorded.
        prompt: as far as it is not computed; None where nobody asks.
    """

    def __init__(
        self,
        tokens: int,
        accounted: int,
        reserved: Reservation | None,
        span: AttemptSpan | None,
        prompt: Prompt | None,
    ) -> None:
        self.tokens = tokens
        self.accounted = accounted
        self.reserved = reserved
        self.span = span
        self.prompt = prompt
