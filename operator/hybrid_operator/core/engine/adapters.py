"""LoRA adapters: where the engine finds them, and of which rank they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.models import LoRA, ModelSpec

DEFAULT_RANK = 16
"""vLLM's own of `--max-lora-rank`."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Choices of `--max-lora-rank` that every release has (vLLM's config/lora.py)."""


def directory(lora: LoRA) -> str | None:
    """Return where the adapter is mounted; None where vLLM downloads it."""
    return None if lora.source.hugging_face else f"/adapters/{lora.name}"


def modules(model: ModelSpec) -> tuple[str, ...]:
    """Return the adapters as `--lora-modules` takes them: name=directory or name=repository."""
    return tuple(f"{each.name}={_path(each)}" for each in model.loras)


def _path(lora: LoRA) -> str:
    repository = lora.source.hugging_face
    return repository.repo if repository else f"/adapters/{lora.name}"


def rank(model: ModelSpec) -> int:
    """Return the highest rank that the model's slots must hold, as vLLM's choices have it."""
    wanted = max((each.rank or DEFAULT_RANK for each in model.loras), default=DEFAULT_RANK)
    return next((each for each in _RANKS if each >= wanted), _RANKS[-1])


def downloaded(model: ModelSpec) -> bool:
    """Whether vLLM downloads an adapter when it starts."""
    return any(each.source.hugging_face for each in model.loras)


def not_acted_on(model: ModelSpec) -> Iterator[Problem]:
    """Yield what vLLM has no way to be told of an adapter."""
    own = model.source.hugging_face if model.source else None
    tokens = [own.token] if own and own.token else []
    for index, lora in enumerate(model.loras):
        path, repository = f"loras[{index}].source.huggingFace", lora.source.hugging_face
        if repository is None:
            continue
        if repository.revision:
            message = "vLLM takes an adapter's main branch; mount a revision from a pvc instead"
            yield Problem(f"{path}.revision", message)
        if repository.token and repository.token not in tokens:
            tokens.append(repository.token)
            if len(tokens) > 1:
                message = "an engine has one token, and another one stands before this"
                yield Problem(f"{path}.token", message)
