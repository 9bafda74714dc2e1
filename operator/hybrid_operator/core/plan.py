"""The plan: from what is seen to what is done. Pure; reads as a table of contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api import validate
from hybrid_operator.api.base import GROUP, Problem
from hybrid_operator.core import contest, diff, status
from hybrid_operator.core import desired as wanted
from hybrid_operator.core.conditions import Facts
from hybrid_operator.core.engine.defaults import CURRENT, EngineDefaults
from hybrid_operator.core.objects.context import Context
from hybrid_operator.core.state import Event, Object, Observed, Plan, Ref
from hybrid_operator.core.view import view

if TYPE_CHECKING:
    from datetime import datetime

PAUSED = f"{GROUP}/paused"
"""Annotation on the resource that stops every write; any value but "false" counts."""


def plan(observed: Observed, now: datetime, defaults: EngineDefaults = CURRENT) -> Plan:
    """Decide what to do about one resource.

    Args:
        observed: everything that is known of it.
        now: the time, for conditions that change.
        defaults: what is chosen for engines where the resource says nothing.
    """
    if is_paused(observed) or observed.owner.deleting:
        return Plan()
    desired = _desired(observed, defaults)
    apply, delete = _changes(observed, desired)
    facts = Facts(observed, desired, view(observed, desired), desired.problems)
    after = status.compose(facts, now)
    return Plan(
        apply=apply,
        delete=delete,
        status=after,
        events=(*_events(observed, apply, delete), *status.events(observed.status, after)),
    )


def is_paused(observed: Observed) -> bool:
    """Whether the resource asks to be left alone."""
    return observed.owner.annotations.get(PAUSED, "false") != "false"


def _desired(observed: Observed, defaults: EngineDefaults) -> wanted.Desired:
    if observed.spec is None:
        unreadable = Problem("spec", observed.spec_error or "cannot be read")
        return wanted.Desired(problems=(unreadable,))
    found = validate.problems(observed.spec)
    if found:
        return wanted.Desired(problems=tuple(found))
    context = Context(observed.owner, observed.settings, defaults)
    return wanted.children(observed, observed.spec, context)


def _changes(
    observed: Observed, desired: wanted.Desired
) -> tuple[tuple[Object, ...], tuple[Ref, ...]]:
    """Return what to apply and what to delete; nothing at all while the spec has problems."""
    if desired.problems:
        return (), ()
    live, refs = observed.children, desired.refs()
    apply = (
        obj
        for ref, obj in refs.items()
        if ref not in observed.foreign
        and not _leaving(live.get(ref))
        and not contest.is_held(observed.contested.get(ref), obj)
        and diff.differs(live.get(ref), obj)
    )
    delete = (ref for ref, obj in live.items() if ref not in refs and not _leaving(obj))
    return tuple(apply), tuple(sorted(delete))


def _leaving(obj: Object | None) -> bool:
    """Whether an object is being deleted already; it is looked at again when it is gone."""
    return obj is not None and obj["metadata"].get("deletionTimestamp") is not None


def _events(observed: Observed, apply: tuple[Object, ...], delete: tuple[Ref, ...]) -> list[Event]:
    refs = [wanted.ref(obj) for obj in apply]
    created = [ref for ref in refs if ref not in observed.children]
    updated = [ref for ref in refs if ref in observed.children]
    return status.changes(created, updated, delete)
