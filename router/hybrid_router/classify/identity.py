"""Which model a classifier's confidences are of: a calibration state belongs to one model."""

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


def identity(description: table.Classifier) -> tuple[str, str]:
    """Return a classifier's name and the digest of its model, 12 hex digits."""
    if description.type == "embedded":
        return "embedded", shipped_digest()
    target = description.target
    model = target.model if target is not None else ""
    asked = _asked() if description.type == "slm" else ""
    return description.type, _digest(f"{model}{description.weights}{asked}".encode())


def _asked() -> str:
    """Return what is said before every request: other words get other confidences."""
    return json.dumps(question.BEFORE)


@cache
def shipped_digest() -> str:
    """Return the digest of the model that comes with the package."""
    return _digest(resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
