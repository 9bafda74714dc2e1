"""One engine with continuous batching, as a queue in continuous time.

The engine works in steps, as vLLM does with chunked prefill: a step gives every request that
decodes one token, and computes prompts in their order with what that leaves of `batched` tokens.
It lasts as long as both take: decoding `1/FASTEST` seconds, or longer where all together reach the
decode rate. So whoever decodes waits for the prompts of others. A request is admitted when its KV
cache fits, in the order of arrival.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

FASTEST = 40.0
"""Tokens/s of one request that decodes alone: 25 ms between tokens, an 8B model on an A10G. As a
step is bound by reading the weights, others slow it by little until `decode` is reached: held to
published figures by tests/unit/scaling/test_scaling_engine.py."""
FULL = 0.046
"""Seconds of a step that reads all memory of that GPU, as the planner has it."""
BATCHED = 2048
"""Tokens of a step: vLLM's own `max_num_batched_tokens` on GPUs below 70 GiB."""
SEQUENCES = 256
"""Requests at once: vLLM's default below 70 GiB."""
KV_TOKENS = 60_000
"""Room of the KV cache: an 8B model in FP8 on 24 GB."""


@dataclass(slots=True)
class Job:
    """A request at an engine; times in seconds."""

    arrived: float
    prompt: int
    generated: int
    before: int = 0
    """Tokens of its prompt and of those before it, when it came."""
    left: float = 0.0
    """Prompt tokens that are not computed yet."""
    first_token: float | None = None
    done: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens of KV cache that it takes in the end."""
        return self.prompt + self.generated


class _Decoding(NamedTuple):
    until: float
    """Tokens that every request of the engine has decoded by then."""
    order: int
    job: Job


@dataclass(slots=True)
class Engine:
    """One replica."""

    prefill: float
    decode: float
    ready_at: float
    fastest: float = FASTEST
    batched: int = BATCHED
    """Tokens of a step: of prompts, and one of each request that decodes."""
    now: float = 0.0
    finished: list[Job] = field(default_factory=list)
    backlog: float = 0.0
    """Engine-seconds of work that is not done yet."""
    _waiting: deque[Job] = field(default_factory=deque)
    _prefilling: deque[Job] = field(default_factory=deque)
    _decoding: list[_Decoding] = field(default_factory=list)
    _progress: float = 0.0
    _prompts: int = 0
    """Tokens of the prompts that prefill, computed ones among them."""
    _kv: int = 0
    _count: int = 0
    _rate: float = FASTEST
    """Tokens/s of each request that decodes, and of the prompt that is computed; both change only
    where `_settle` or `add` changes who is there."""
    _prefill_rate: float = 0.0

    def __post_init__(self) -> None:
        self._share()

    @property
    def active(self) -> int:
        """Requests at the engine."""
        return len(self._waiting) + len(self._prefilling) + len(self._decoding)

    @property
    def prefilling(self) -> int:
        """Tokens of the prompts whose first token is not there yet."""
        return self._prompts + sum(job.prompt for job in self._waiting)

    def add(self, job: Job) -> None:
        """Take a request, at the present time."""
        job.left = float(max(job.prompt, 1))
        self.backlog += job.prompt / self.prefill + job.generated / self.decode
        self._waiting.append(job)
        self._admit()

    def next_event(self) -> float:
        """Return the time of the next change; infinite when it is idle."""
        at = math.inf
        if self._prefilling:
            at = self.now + self._prefilling[0].left / self._prefill_rate
        if self._decoding:
            left = self._decoding[0].until - self._progress
            at = min(at, self.now + max(left, 0.0) / self._rate)
        return at

    def advance(self, until: float) -> None:
        """Work until a time."""
        while (at := self.next_event()) <= until:
            self._work(at - self.now)
            self._settle()
        if until > self.now:
            self._work(until - self.now)

    def _share(self) -> None:
        count = len(self._decoding)
        step = max(1 / self.fastest, count / self.decode) if count else 0.0
        if self._prefilling:
            chunk = max(min(self.batched - count, self._prompts), 1)
            step += chunk / self.prefill
            self._prefill_rate = chunk / step
        else:
            self._prefill_rate = self.prefill
        self._rate = 1 / step if step else self.fastest

    def _work(self, seconds: float) -> None:
        rate, prefill = self._rate, self._prefill_rate
        if self._prefilling:
            self._prefilling[0].left -= prefill * seconds
            self.backlog -= prefill * seconds / self.prefill
        self._progress += rate * seconds
        self.backlog -= rate * len(self._decoding) * seconds / self.decode
        self.now += seconds

    def _settle(self) -> None:
        if self._prefilling and self._prefilling[0].left <= 1e-6:  # noqa: PLR2004  rounding
            job = self._prefilling.popleft()
            self._prompts -= job.prompt
            job.first_token = self.now
            self._count += 1
            entry = _Decoding(self._progress + max(job.generated - 1, 0), self._count, job)
            heapq.heappush(self._decoding, entry)
        while self._decoding and self._decoding[0].until <= self._progress + 1e-6:
            job = heapq.heappop(self._decoding).job
            job.done = self.now
            self._kv -= job.tokens
            self.finished.append(job)
        if not self.active:
            self.backlog = 0.0
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            job = self._waiting[0]
            running = len(self._prefilling) + len(self._decoding)
            fits = self._kv + job.tokens <= KV_TOKENS or running == 0
            if not fits or running >= SEQUENCES:
                break
            self._kv += job.tokens
            self._prompts += job.prompt
            self._prefilling.append(self._waiting.popleft())
        self._share()
