"""Whether, and when, the status is written: pure.

Conditions and replicas are written at once. Figures, which move all the time, are written when
one has moved by 5 % and at most once a minute, or along with something else. Nothing differs:
nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_operator.control import scaled
from hybrid_operator.core.naming import digest
from hybrid_operator.core.written import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hybrid_operator.control.scaled import Told

FIGURES = frozenset({"routing"})
"""Members of the status that are figures."""
MOVED = 0.05
FIGURES_SECONDS = 60.0
MAX_MESSAGE = 640
"""Longest message of a condition, as the CRD has it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The last status that this process wrote for a resource."""

    sent: Mapping[str, Any]
    stored: Mapping[str, Any]
    """What the API server made of it: a CRD older than the operator drops what it does not know."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about the status."""

    write: bool
    again: float | None = None
    """Seconds after which figures that wait may be written."""


def decide(
    planned: Mapping[str, Any],
    live: Mapping[str, Any],
    last: Written | None,
    figures_age: float,
) -> Decision:
    """Decide whether `planned` is written over `live`.

    Args:
        planned: The status that should stand, whole.
        live: The status as it stands.
        last: What was written before, if anything.
        figures_age: Seconds since figures were last written; infinite if they never were.
    """
    if planned == live:
        return Decision(write=False)
    if last is not None and live == last.stored:
        live = last.sent
    if _without_figures(planned) != _without_figures(live):
        return Decision(write=True)
    if not any(_moved(planned.get(name), live.get(name)) for name in FIGURES):
        return Decision(write=False)
    if figures_age >= FIGURES_SECONDS:
        return Decision(write=True)
    return Decision(write=False, again=FIGURES_SECONDS - figures_age)


def stamp(status: Mapping[str, Any]) -> str:
    """Return a hash that is the same for statuses that differ in times and figures alone."""
    conditions = [
        {name: value for name, value in entry.items() if name != "lastTransitionTime"}
        for entry in status.get("conditions") or ()
    ]
    return digest(canonical(_without_figures(status) | {"conditions": conditions}), length=16)


def figures_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the two statuses have other figures."""
    return any(one.get(name) != other.get(name) for name in FIGURES)


def with_failure(
    status: Mapping[str, Any], reason: str, message: str, generation: int, now: datetime
) -> dict[str, Any]:
    """Return `status` with the condition that carrying out the plan failed.

    Args:
        status: What the plan, or the resource, says.
        reason: One word for programs.
        message: A sentence for people.
        generation: Of the resource that was acted on.
        now: The time, for a condition that changes.
    """
    kept = [entry for entry in status.get("conditions") or [] if entry.get("type") != "Progressing"]
    before = [entry for entry in status.get("conditions") or [] if entry not in kept]
    since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if before and before[0].get("status") == "False":
        since = before[0].get("lastTransitionTime", since)
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": reason,
        "message": message[:MAX_MESSAGE],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
    return dict(status) | {"observedGeneration": generation, "conditions": [*kept, condition]}


def add_scaling(
    planned: dict[str, Any],
    live: Mapping[str, Any],
    told: Told | None,
) -> None:
    """Add what autoscaling tells to `planned`; None: it tells what it told."""
    models, memories, _ = told if told is not None else scaled.told(live)
    if models:
        planned["models"] = [
            each | {"scaling": models[each["name"]]} if each["name"] in models else each
            for each in planned.get("models") or ()
        ]
    if memories:
        names = [each["name"] for each in planned.get("models") or ()]
        if text := scaled.kept(names, memories):
            planned["scalingMemory"] = text


def _without_figures(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name not in FIGURES}


def _moved(new: object, old: object) -> bool:
    """Whether a number in `new` is 5 % away from what it was; a new or a gone one has moved."""
    if isinstance(new, dict) and isinstance(old, dict):
        return any(_moved(new.get(name), old.get(name)) for name in {*new, *old})
    if isinstance(new, int | float) and isinstance(old, int | float):
        return abs(new - old) > MOVED * abs(old) or (new != old and old == 0)
    return new != old
