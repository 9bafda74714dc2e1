"""Which surfaces a backend has, and which targets can answer a call at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.core.decision import Refused
from hybrid_router.openai.request import PATHS
from hybrid_router.translate.chat_request import unfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.request import Call, Kind
    from hybrid_router.table import Backend, Target

_OPENAI: Final = frozenset({"chat", "completions", "embeddings"})
_RESPONSES: Final = _OPENAI | {"responses"}
_VLLM: Final = _RESPONSES | {"messages", "count_tokens"}
_ANTHROPIC: Final = frozenset({"messages", "count_tokens"})
_WITH_RESPONSES: Final = frozenset({"openai", "azure-openai"})
_THROUGH_CHAT: Final = frozenset({"chat", "messages", "responses"})
"""Surfaces that are translated into each other."""


def surfaces(backend: Backend) -> frozenset[str]:
    """Return the API surfaces that a backend has."""
    if backend.surfaces is not None:
        return frozenset(backend.surfaces)
    if backend.dialect == "anthropic":
        return _ANTHROPIC
    if backend.engine == "vllm":
        return _VLLM
    return _RESPONSES if backend.provider in _WITH_RESPONSES else _OPENAI


def has(backend: Backend, kind: Kind) -> bool:
    """Return whether a backend answers on the surface `kind` without a translation."""
    if backend.dialect == "openai" and backend.surfaces is None and kind in _OPENAI:
        return True
    return kind in surfaces(backend)


def reachable(
    call: Call, targets: tuple[Target, ...], backends: Mapping[str, Backend]
) -> tuple[Target, ...]:
    """Return the targets that can answer on the call's surface, translated or not.

    Raises:
        Refused: none can.
    """
    for target in targets:
        if not has(backends[target.backend], call.kind):
            return _reachable(call, targets, backends)
    return targets


def _reachable(
    call: Call, targets: tuple[Target, ...], backends: Mapping[str, Backend]
) -> tuple[Target, ...]:
    missing: dict[Target, str] = {}
    for target in targets:
        backend = backends[target.backend]
        if not has(backend, call.kind) and (why := _unreachable(call, backend)):
            missing[target] = why
    if len(missing) == len(targets):
        raise Refused(400, "unsupported_capability", not_said(next(iter(missing.values()))))
    return tuple(target for target in targets if target not in missing)


def not_said(what: str) -> str:
    """Return the words for a request that needs `what`, which no backend of its model has."""
    return f"no backend of this model can be asked for this: {what}"


def _unreachable(call: Call, backend: Backend) -> str | None:
    """Return what stops a call that would have to be translated; looks at its top level only."""
    there = surfaces(backend)
    if call.kind not in _THROUGH_CHAT or there.isdisjoint({"chat", "messages"}):
        return f"/v1/{PATHS[call.kind].lstrip('/')}"
    if call.kind == "chat" and "chat" not in there:
        return unfit(call.fields)
    return None
