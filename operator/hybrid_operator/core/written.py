"""What somebody wrote, as plain values that can be compared: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.api.base import Spec


def canonical(value: object) -> str:
    """Return JSON that is the same for the same value."""
    return msgspec.json.encode(value, order="deterministic").decode()


def said(part: Spec) -> Mapping[str, Any]:
    """Return what a part says beyond its defaults, by the names on the wire."""
    found: Mapping[str, Any] = msgspec.to_builtins(part)
    return found
