"""One address of a backend, and what is known about it."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from hybrid_router.core.breaker import Breaker, Outcome
    from hybrid_router.discovery.registry import Pool


class Replica:
    """One address of a backend, and what is known about it."""

    __slots__ = ("_pool", "breaker", "outstanding", "prefilling", "seed", "since", "url")

    def __init__(self, url: str, pool: Pool, breaker: Breaker) -> None:
        self.url = url
        """Base URL, `/v1` included."""
        digest = hashlib.blake2b(url.encode(), digest_size=4).digest()
        self.seed = int.from_bytes(digest, "little")
        """What every router knows this replica by."""
        self.breaker = breaker
        self.outstanding = 0
        """Estimated tokens of the requests under way."""
        self.prefilling = 0
        """Tokens of the prompts whose first token is not there yet, where somebody asks."""
        self.since = -math.inf
        """When it came, if others were there before."""
        self._pool = pool

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How to verify this replica; None for plain HTTP."""
        return self._pool.tls if self.url.startswith("https:") else None

    def acquire(self, tokens: int) -> None:
        """Count a request that is sent to this replica now."""
        self.outstanding += tokens
        self._pool.in_flight += 1
        self._pool.tokens_in_flight += tokens

    def release(
        self, tokens: int, outcome: Outcome, now: float, retry_after: float | None = None
    ) -> None:
        """Count its end, once per `acquire`; `now` of the clock that `Pool.pick` gets."""
        self.outstanding -= tokens
        self._pool.in_flight -= 1
        self._pool.tokens_in_flight -= tokens
        self._pool.queue.wake()
        self.breaker.record(outcome, now, retry_after)

    def begins_in(self, tokens: int) -> float:
        """Return the seconds until a prompt that is sent now is computed, estimated."""
        return (self.prefilling + tokens) / self._pool.prefill.rate


class Prompt:
    """A prompt that a replica has not computed yet.

    Attributes:
        before: its tokens, and those before it.
    """

    __slots__ = ("_replica", "_tokens", "before")

    def __init__(self, replica: Replica, tokens: int) -> None:
        self._replica, self._tokens = replica, tokens
        replica.prefilling += tokens
        self.before = replica.prefilling

    def computed(self) -> None:
        """Take note that it is computed, or given up; more than once does no harm."""
        self._replica.prefilling -= self._tokens
        self._tokens = 0
