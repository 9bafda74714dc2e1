"""Parameters of encoders for images and sound, from a Hugging Face config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def towers(config: Mapping[str, Any], hidden: int) -> int:
    """Return the parameters of encoders and projectors into the text model's `hidden` size.

    Exact for Gemma 3 (SigLIP) and Qwen3.5; 0 for what has none. Catalogue rows state what no
    formula here counts.
    """
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        return 0
    kind = str(config.get("model_type"))
    if kind == "gemma3n":
        return _GEMMA_3N
    if kind.startswith("qwen3"):
        return _qwen(vision, hidden)
    return _siglip(vision, hidden)


_GEMMA_3N = 1_000_000_000
"""MobileNet for images and a conformer for sound, of no published size of their own: the total of
5.44 and 7.85 billion that the models are said to have, less their text parts."""


def _siglip(vision: dict[str, Any], hidden: int) -> int:
    size = int(vision.get("hidden_size", 768))
    inner = int(vision.get("intermediate_size", 4 * size))
    patch = int(vision.get("patch_size", 14))
    positions = (int(vision.get("image_size", 224)) // patch) ** 2
    embedding = 3 * patch * patch * size + size + positions * size
    projector = size * hidden + size
    return embedding + _transformer(vision, size, inner) + 2 * size + projector


def _qwen(vision: dict[str, Any], hidden: int) -> int:
    size = int(vision.get("hidden_size", 1152))
    inner = int(vision.get("intermediate_size", 4304))
    patch = int(vision.get("patch_size", 16))
    merged = size * int(vision.get("spatial_merge_size", 2)) ** 2
    frames = int(vision.get("temporal_patch_size", 2))
    embedding = 3 * frames * patch * patch * size + size
    positions = int(vision.get("num_position_embeddings", 2304)) * size
    merger = 2 * size + merged * merged + merged + merged * hidden + hidden
    return embedding + positions + _transformer(vision, size, inner) + merger


def _transformer(vision: dict[str, Any], size: int, inner: int) -> int:
    attention = 4 * (size * size + size)
    mlp = 2 * size * inner + inner + size
    layers = int(vision.get("num_hidden_layers") or vision.get("depth") or 27)
    return layers * (attention + mlp + 4 * size)
