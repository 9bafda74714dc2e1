"""What a classifier's confidences are of: its model, and what is known of the local models.

A calibration state maps confidences, so it belongs to what they were made of.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from hybrid_router.classify import question
from hybrid_router.classify.parameters import FILE

if TYPE_CHECKING:
    from hybrid_router import table


def identity(routes: table.RouteTable) -> tuple[str, str]:
    """Return a classifier's name and the digest of what it judges by, 12 hex digits."""
    description = routes.policy.classifier
    if description.type == "embedded":
        return "embedded", _embedded(routes)
    target = description.target
    model = target.model if target is not None else ""
    asked = _asked() if description.type == "slm" else ""
    return description.type, _digest(f"{model}{description.weights}{asked}".encode())


def _embedded(routes: table.RouteTable) -> str:
    """Return the shipped model's digest, changed by what aliases say of their local models."""
    stated = {tuple(sorted(m.priors.items())) for m in routes.models.values() if m.classified}
    if not any(stated):
        return shipped_digest()
    return _digest(f"{shipped_digest()}{sorted(stated)}".encode())


def _asked() -> str:
    """Return what is said before every request: other words get other confidences."""
    return json.dumps(question.BEFORE)


@cache
def shipped_digest() -> str:
    """Return the digest of the model that comes with the package."""
    return _digest(resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
