"""The status as a whole, and the events that go with its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.core.conditions import MAX_MESSAGE, Condition, conditions, endpoint
from hybrid_operator.core.state import Event, Object, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from hybrid_operator.core.calibration import History
    from hybrid_operator.core.conditions import Facts
    from hybrid_operator.core.engine.fit import Fit
    from hybrid_operator.core.view import Engine

_GOOD = {"Degraded": "False", "UpdateAvailable": "False"}
"""Status in which a condition is nothing to worry about, where that is not "True"."""
_TOLD = (
    "Ready",
    "Degraded",
    "Fits",
    "EnginesReady",
    "RouterReady",
    "ProvidersReachable",
    "Schedulable",
    "Calibrated",
    "ScalingActive",
)
_TOLD_WHEN_BAD = ("Valid", "Supported", "UpdateAvailable")
_AT_FIRST = frozenset({"NoRouter", "NotCreated", "NotUsedYet", "Starting"})
"""Reasons that every new resource has."""
_MAX_EVENT = 1000
"""Characters; the API server takes 1024."""
_MAX_IMAGE = 160
"""Characters, as the CRD has it."""
_MAX_VERSION = 16
"""Characters, as the CRD has it; no release of vLLM needs more."""


def compose(facts: Facts, now: datetime) -> dict[str, Any]:
    """Return the status that should stand.

    What the routers did is not in it: figures are added up and written by `control`.
    """
    generation = facts.observed.owner.generation
    before = _by_type(facts.observed.status)
    engines = facts.view.engines
    plans = {each.model: each for each in facts.desired.fits}
    composed: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [
            _condition(each, before.get(each.type), generation, now) for each in conditions(facts)
        ],
        "endpoint": endpoint(facts.observed),
        "modelsReady": f"{sum(e.ready > 0 for e in engines)}/{len(engines)}",
        "engineReplicas": f"{sum(e.ready for e in engines)}/{sum(e.wanted for e in engines)}",
        "models": [_model(engine, plans.get(engine.model)) for engine in engines],
    }
    if facts.desired.calibrated is not None:
        composed["calibration"] = _calibration(facts.desired.calibrated.history)
    return composed


def _calibration(history: History) -> dict[str, Any]:
    current, previous = history.current, history.previous
    told: dict[str, Any] = {}
    if current is not None:
        told |= {"state": current.digest, "outcomes": current.held_out.outcomes}
    if previous is not None:
        told["previous"] = previous.digest
    return told


def events(before: Object, after: Object) -> tuple[Event, ...]:
    """Return an event for each condition whose status or reason changed, where that is news.

    That what was just made is not there yet is none, nor are the parts' own good news when `Ready`
    becomes true: that says it for all of them.
    """
    old = _by_type(before)
    opened = any(
        each["type"] == "Ready" and each["status"] == "True" != old.get("Ready", {}).get("status")
        for each in after["conditions"]
    )
    return tuple(
        _event(each)
        for each in after["conditions"]
        if _is_news(each, old.get(each["type"]), opened=opened)
    )


def changes(created: Sequence[Ref], updated: Sequence[Ref], deleted: Sequence[Ref]) -> list[Event]:
    """Return what was done to children, in one event for each kind of change."""
    done = (("Created", created), ("Updated", updated), ("Deleted", deleted))
    return [Event("Normal", reason, _names(refs)) for reason, refs in done if refs]


def _names(refs: Iterable[Ref]) -> str:
    return ", ".join(f"{ref.kind} {ref.name}" for ref in refs)[:_MAX_EVENT]


def _is_news(condition: Object, before: Object | None, *, opened: bool) -> bool:
    """Whether what a condition says is worth an event.

    Args:
        condition: As it is now.
        before: As it was; None: there was none.
        opened: Whether `Ready` has just become true.
    """
    kind, good = condition["type"], _is_good(condition)
    if before is not None and all(
        condition[key] == before.get(key) for key in ("status", "reason")
    ):
        return False
    if kind not in _TOLD and (good or kind not in _TOLD_WHEN_BAD):
        return False
    if good:
        return kind == "Ready" or (before is not None and not opened)
    return condition["reason"] not in _AT_FIRST or (before is not None and _is_good(before))


def _is_good(condition: Object) -> bool:
    return bool(condition["status"] == _GOOD.get(condition["type"], "True"))


def _event(condition: Object) -> Event:
    kind = condition["type"]
    message = f"{kind} is {condition['status']}: {condition['message'] or condition['reason']}"
    severe = (
        not _is_good(condition) and condition["status"] != "Unknown" and kind != "UpdateAvailable"
    )
    return Event("Warning" if severe else "Normal", condition["reason"], message[:_MAX_EVENT])


def _condition(
    condition: Condition, before: Object | None, generation: int, now: datetime
) -> dict[str, Any]:
    since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if before is not None and before.get("status") == condition.status:
        since = before.get("lastTransitionTime", since)
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": _short(condition.message),
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


def _short(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"


def _by_type(status: Object) -> dict[str, Object]:
    found = status.get("conditions") or ()
    return {each["type"]: each for each in found}


def _model(engine: Engine, fit: Fit | None) -> dict[str, Any]:
    facts = {
        "name": engine.model,
        "replicas": engine.wanted,
        "readyReplicas": engine.ready,
        "version": engine.version and engine.version[:_MAX_VERSION],
        "image": engine.image and engine.image[:_MAX_IMAGE],
        "memory": _memory(fit) if fit is not None else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


_VERDICTS = {True: "Fits", False: "DoesNotFit", "borderline": "Borderline"}


def _memory(fit: Fit) -> dict[str, Any] | None:
    """Return the memory plan, as far as there is one."""
    plan, serving = fit.memory, fit.serving
    if plan is None or serving is None:
        return None
    if plan.refusals:
        return {"verdict": "DoesNotFit"}
    return {
        "verdict": _VERDICTS[plan.fits],
        "weightsGiB": _gib(plan.weights),
        "kvRoomGiB": _gib(plan.room.central),
        "contextTokens": serving.context,
        "maxConcurrentSequences": plan.sequences.central,
    }


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"
