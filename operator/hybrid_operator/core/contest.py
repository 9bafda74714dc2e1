"""Children that somebody changes back as often as they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core import diff
from hybrid_operator.core.causes import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.core.state import Contested, Object, Ref

_NAMED = 3
"""Fields that a message names before it counts the rest."""


def is_held(known: Contested | None, desired: Object) -> bool:
    """Whether it is too soon to apply `desired` once more."""
    return known is not None and known.held and known.stamp == diff.stamp_of(desired)


def cause(contested: Mapping[Ref, Contested], desired: Mapping[Ref, Object]) -> Cause | None:
    """Return what is undone, and how to find out by whom; None when nothing is."""
    undone = [
        (ref, each.fields)
        for ref, each in sorted(contested.items())
        if ref in desired and each.stamp == diff.stamp_of(desired[ref])
    ]
    if not undone:
        return None
    first, _ = undone[0]
    what = "; ".join(f"{ref.kind} {ref.name} is {_how(fields)}" for ref, fields in undone)
    message = (
        f"{what} as often as it is applied, so that is done more seldom now; see by whom: "
        f"kubectl get {first.kind.lower()} {first.name} -o yaml --show-managed-fields "
        "(only hybridinference? a second operator looks after this namespace)"
    )
    return Cause("Contested", message, blocked=True)


def _how(fields: tuple[str, ...]) -> str:
    if not fields:
        return "deleted"
    rest = len(fields) - _NAMED
    named = ", ".join(fields[:_NAMED])
    return f"changed back ({named}{f' and {rest} more' if rest > 0 else ''})"
