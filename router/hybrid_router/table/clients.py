"""What one router accepts from its clients."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hybrid_router.table.values import Name, Part, RateLimits, Seconds


class Limits(Part, frozen=True):
    """What one router accepts from its clients."""

    max_body_bytes: Annotated[int, Meta(ge=1024)] = 32 * 1024 * 1024
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024
    max_target_bytes: Annotated[int, Meta(ge=128)] = 8 * 1024
    max_connections: Annotated[int, Meta(ge=1)] = 16_384
    max_in_flight: Annotated[int, Meta(ge=1)] = 4_096
    """Requests under way at once; one more is answered 503 with Retry-After."""
    max_bytes_in_flight: Annotated[int, Meta(ge=1024)] = 256 * 1024 * 1024
    """Bodies held at once, all requests together; more is answered 503 with Retry-After."""
    header_timeout: Seconds = 10.0
    """From a request's first byte to the end of its header; then again per 64 KiB of its body."""
    keep_alive_timeout: Seconds = 75.0
    write_stall_timeout: Seconds = 30.0
    """How long a client may read nothing while there is something to write."""
    drain_timeout: Seconds = 30.0
    """After SIGTERM: how long requests under way may take to end."""


class KeyLimits(RateLimits, frozen=True):
    """What one key may ask for."""

    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests under way at once."""


class Keys(Part, frozen=True):
    """Client keys: every file in `directory` holds one key, its name is the key's id."""

    directory: Name
    limits: KeyLimits | None = None
    """Of each key."""
    limits_by_key: dict[Name, KeyLimits] = {}
    """By the key's id, instead of `limits`."""
