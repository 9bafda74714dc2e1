"""Which API surfaces a vLLM release has.

Source: the routes in the packages of the releases 0.9.2 to 0.19.0, looked up one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_router.table import Surface

_FIRST: tuple[tuple[Version, Surface], ...] = (
    (Version(0, 10, 0), "responses"),
    (Version(0, 11, 1), "messages"),
    (Version(0, 17, 0), "count_tokens"),
)


def surfaces(version: Version) -> tuple[Surface, ...] | None:
    """Return what a release has; None where it has all that routers assume of vLLM."""
    if all(version >= first for first, _ in _FIRST):
        return None
    later = (surface for first, surface in _FIRST if version >= first)
    return ("chat", "completions", "embeddings", *later)
