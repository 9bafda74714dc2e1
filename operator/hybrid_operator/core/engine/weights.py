"""What local models are, as far as their answers depend on it: where weights come from, and how.

Log-probabilities of one model say nothing of another one's, nor of another revision's or another
quantization's. So a calibration state of a cascade or of an `slm` belongs to these weights.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine import intent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.api.models import LoRASource, ModelSource, ModelSpec


def digest(models: Iterable[ModelSpec]) -> str:
    """Return the 12 hex digits that name the weights of these models, in any order."""
    parts = sorted((_part(model) for model in models), key=str)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:12]


def _part(model: ModelSpec) -> tuple[object, ...]:
    source = _place(intent.source(model))
    loras = sorted((lora.name, _place(lora.source)) for lora in model.loras)
    return model.name, source, model.quantization or "", loras


def _place(source: ModelSource | LoRASource) -> tuple[str, ...]:
    """Return where weights are; not by which token they are read."""
    image = getattr(source, "image", None)
    if image is not None:
        return "image", image.reference
    if source.pvc is not None:
        return "pvc", source.pvc.claim, source.pvc.path
    hub = source.hugging_face
    return ("hub", hub.repo, hub.revision or "main") if hub is not None else ()
