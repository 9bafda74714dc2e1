"""Whether a client's key may ask for this now, and what the answer's headers say of that."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from hybrid_router.core.limits import WINDOW_SECONDS, Exceeded, Meter, Reservation, share
from hybrid_router.openai.errors import ApiError

if TYPE_CHECKING:
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.openai.request import Call
    from hybrid_router.table import KeyLimits, Keys

_WORDS: Final = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "concurrency": "requests at once",
}


class Ticket:
    """An admitted request: what it has set aside, and what its key has left.

    Attributes:
        lines: header lines, `x-ratelimit-*`, as OpenAI writes them.
    """

    __slots__ = ("_reservation", "lines")

    def __init__(self, reservation: Reservation, lines: bytes) -> None:
        self._reservation = reservation
        self.lines = lines

    def settle(self, tokens: int) -> None:
        """Count the tokens that it took."""
        self._reservation.settle(tokens, time.monotonic())


class Admission:
    """The meters of all keys that were used.

    Args:
        registry: its table says what each key may ask for, and how many routers share that.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._meters: dict[str, Meter] = {}

    def admit(self, key_id: str | None, call: Call) -> Ticket | None:
        """Set aside what a request will take; None where nothing is limited.

        Raises:
            ApiError: 429, with Retry-After where waiting helps.
        """
        keys = self._registry.table.keys
        limits = _limits(keys, key_id)
        if limits is None or key_id is None:
            return None
        meter = self._meters.get(key_id)
        if meter is None:
            meter = self._meters[key_id] = Meter()
        now = time.monotonic()
        routers = self._registry.routers
        tokens = call.prompt_tokens + call.answer_tokens
        try:
            reservation = meter.admit(limits, routers, tokens, now)
        except Exceeded as exceeded:
            raise _refusal(exceeded, _lines(limits, meter, routers)) from None
        return Ticket(reservation, _lines(limits, meter, routers))


def _limits(keys: Keys | None, key_id: str | None) -> KeyLimits | None:
    if keys is None or key_id is None:
        return None
    return keys.limits_by_key.get(key_id, keys.limits)


def _lines(limits: KeyLimits, meter: Meter, routers: int) -> bytes:
    """Return what is left of all routers' limits, if the others are as busy as this one."""
    lines = []
    for what, limit, window in (
        (b"requests", limits.requests_per_minute, meter.requests),
        (b"tokens", limits.tokens_per_minute, meter.tokens),
    ):
        if limit is not None:
            left = max(0, min(limit, int((share(limit, routers) - window.used) * routers)))
            lines.append(
                b"x-ratelimit-limit-%s: %d\r\nx-ratelimit-remaining-%s: %d\r\n"
                b"x-ratelimit-reset-%s: %ds\r\n"
                % (what, limit, what, left, what, WINDOW_SECONDS if window.used else 0)
            )
    return b"".join(lines)


def _refusal(exceeded: Exceeded, lines: bytes) -> ApiError:
    allowed = f"this key may use {exceeded.limit} {_WORDS[exceeded.what]}"
    headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n") if line]
    if exceeded.retry_after is None:
        message = f"{allowed}, and this request alone asks for more"
        headers.append((b"x-should-retry", b"false"))
    else:
        message = f"{allowed}; wait before the next one"
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(exceeded.retry_after))))
    return ApiError(
        429, "rate_limit_exceeded", message, headers=tuple((h[0], h[1]) for h in headers)
    )
