"""Repositories whose licence must be accepted before they can be downloaded, with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.api.base import Problem
from hybrid_operator.core.engine import catalog, intent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.models import ModelSpec

_OTHER_WAYS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"})
"""Variables of `podTemplate` that bring a token, or make one needless."""


def untokened(model: ModelSpec) -> str:
    """Return the gated repository that the engine would ask for without a token; "" for none."""
    hub = intent.source(model).hugging_face
    if hub is None or not catalog.gated(hub.repo):
        return ""
    # One token serves the model and its adapters.
    adapters = (each.source.hugging_face for each in model.loras)
    tokens = [hub.token, *(each.token for each in adapters if each)]
    return "" if any(tokens) or _brought(model) else hub.repo


def advice(repo: str) -> str:
    """Return what is so and what to do, as the end of a sentence."""
    return (
        f"{repo} is gated on Hugging Face, and no token is stated: accept its licence at "
        f"https://huggingface.co/{repo}, and name the Secret that holds your token"
    )


def warnings(model: ModelSpec) -> list[Problem]:
    """Return that it cannot be downloaded, where no token is stated. Paths are the model's."""
    repo = untokened(model)
    return [Problem("source.huggingFace.token", advice(repo))] if repo else []


def _brought(model: ModelSpec) -> bool:
    return any(
        "envFrom" in each or any(v.get("name") in _OTHER_WAYS for v in each.get("env") or ())
        for each in _containers(model)
    )


def _containers(model: ModelSpec) -> Iterator[dict[str, Any]]:
    template: Any = model.pod_template or {}
    yield from (template.get("spec") or {}).get("containers") or ()
