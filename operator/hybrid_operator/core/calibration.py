"""Which calibration state routers decide by: the one offered, unless it is refused or did worse.

A state is offered in a ConfigMap that the resource names. What is in force, what was before, and
what is not taken again stand in a child of our own, so that a restart of the operator changes
nothing and a state that was taken back stays so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_operator.api.base import GROUP
from hybrid_operator.core.naming import INSTANCE_LABEL, MANAGER, instance
from hybrid_operator.core.unmatched import local_names
from hybrid_router.table import Calibration, TableError, decode_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.core.state import Object, Observed, Outcomes

STATE_KEY = "state.json"
"""Of the ConfigMap that offers a state."""
HISTORY_KEY = "history.json"
REJECT = f"{GROUP}/reject-calibration"
"""Annotation on the resource: digest of a state that is taken back."""
NONE = "none"
"""What routers call having no state, in metrics."""
LEAST_OUTCOMES = 30
"""Judged answers under each of two states below which they are not compared."""
DEVIATIONS = 3.0
"""How far apart two shares of good answers must be, in standard errors. They are looked at again
and again, so that the usual two would find a difference sooner or later where there is none."""
_OTHERS = "another model of the classifier than the routers have"
_OTHER = {
    "embedded": "another model file, or of other priors: the local model of an alias changed, or "
    "what is known of it, or the router did",
    "cascade": "drafts by other weights: a local model's source, revision or quantization changed",
    "slm": "other weights or another question: the asked model, its source, revision or "
    "quantization changed, or the router did",
}
"""What a state is of that the routers do not take, by its classifier."""
_KEPT = 8
"""Digests of states that are not taken again."""


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers judged under one state."""

    good: int = 0
    bad: int = 0

    @property
    def judged(self) -> int:
        """All of them."""
        return self.good + self.bad

    def __str__(self) -> str:
        """Say it for people."""
        return f"{self.good / max(self.judged, 1):.0%} of {self.judged} judged answers were good"


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the child remembers."""

    current: Calibration | None = None
    previous: Calibration | None = None
    before: Tally = Tally()
    """Answers judged under `previous`, or without a state, when `current` came."""
    rejected: tuple[str, ...] = ()
    why: str = ""
    """Why the last of them was taken back."""


class Decided(msgspec.Struct, frozen=True):
    """The state in force, and what to say of it."""

    history: History
    reason: str
    message: str

    @property
    def good(self) -> bool:
        """Whether the state that is offered is in force."""
        return self.reason == "InForce"


def manifest(namespace: str, name: str, owner: str, document: str) -> dict[str, Any]:
    """Return the ConfigMap that offers a state to the resource `owner`."""
    labels = {"app.kubernetes.io/managed-by": MANAGER, INSTANCE_LABEL: instance(owner)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": {STATE_KEY: document},
    }


def decide(observed: Observed, name: str, history: History) -> Decided:
    """Return which state holds from now on.

    Args:
        observed: the offer, what routers say, and the resource's annotations.
        name: of the ConfigMap that offers.
        history: what was in force.
    """
    history = _taken_back(observed, history)
    document = _document(observed.offer)
    if document is None:
        return _told(observed, history, "NotOffered", _missing(name, observed))
    try:
        offered = decode_calibration(document.encode())
    except TableError as error:
        return _told(
            observed, history, "Refused", f"the state in ConfigMap {name} is refused: {error}"
        )
    digest = offered.digest
    if not suits(offered, observed):
        judged = f"the answers judged for state {digest} are of {', '.join(offered.served)}"
        return _told(
            observed, history, "OtherModel", f"{judged}: fit it again with the present models"
        )
    if digest in history.rejected:
        return _told(
            observed, history, "RolledBack", f"state {digest} was taken back: {history.why}"
        )
    if history.current is None or digest != history.current.digest:
        history = History(
            current=offered,
            previous=history.current,
            before=_tally(observed.outcomes, history.current),
            rejected=history.rejected,
            why=history.why,
        )
    if any(not report.calibrated(digest) for report in observed.reports):
        other = f"state {digest} is of {_OTHER.get(offered.classifier, _OTHERS)}"
        return _told(observed, history, "OtherModel", f"{other}: fit it again from new decisions")
    held = offered.held_out
    figures = f"log loss {held.log_loss_before:.3f} to {held.log_loss_after:.3f}"
    return Decided(
        history, "InForce",
        f"state {digest} of {offered.created or 'unknown date'}: {figures} on {held.outcomes} "
        f"outcomes held out",
    )  # fmt: skip


def suits(state: Calibration, observed: Observed) -> bool:
    """Return whether one of the resource's local models is one whose answers were judged."""
    names = local_names(observed.spec) if observed.spec is not None else ()
    return not state.served or not set(names).isdisjoint(state.served)


def in_force(decided: Decided | None, observed: Observed) -> Calibration | None:
    """Return the state that goes into the table; none that is of other local models."""
    current = decided.history.current if decided is not None else None
    return current if current is not None and suits(current, observed) else None


def _taken_back(observed: Observed, history: History) -> History:
    """Return the history after a state in force had to go, if it had to."""
    current = history.current
    if current is None:
        return history
    digest = current.digest
    if observed.owner.annotations.get(REJECT) == digest:
        why = f"by the annotation {REJECT}"
    else:
        now, before = _tally(observed.outcomes, current), _before(observed, history)
        if not worse(now, before):
            return history
        why = f"{now}, before {before}"
    return History(current=history.previous, rejected=(*history.rejected, digest)[-_KEPT:], why=why)


def worse(now: Tally, before: Tally) -> bool:
    """Return whether the share of good answers fell, and not by chance."""
    if min(now.judged, before.judged) < LEAST_OUTCOMES:
        return False
    p, q = now.good / now.judged, before.good / before.judged
    pooled = (now.good + before.good) / (now.judged + before.judged)
    error = math.sqrt(pooled * (1 - pooled) * (1 / now.judged + 1 / before.judged))
    return error > 0 and (q - p) / error > DEVIATIONS


def _before(observed: Observed, history: History) -> Tally:
    """Return what is known of the answers under the state before; routers forget when they end."""
    told = _tally(observed.outcomes, history.previous)
    return told if told.judged > history.before.judged else history.before


def _tally(outcomes: Mapping[str, Outcomes], state: Calibration | None) -> Tally:
    found = outcomes.get(state.digest if state is not None else NONE)
    return Tally(found.good, found.bad) if found is not None else Tally()


def _told(observed: Observed, history: History, reason: str, message: str) -> Decided:
    current = history.current
    if current is not None and not suits(current, observed):
        current = None
    stays = f"state {current.digest} is in force" if current is not None else "none is in force"
    return Decided(history, reason, f"{message}; {stays}")


def _document(offer: Object | None) -> str | None:
    if offer is None:
        return None
    found: str | None = (offer.get("data") or {}).get(STATE_KEY)
    return found


def _missing(name: str, observed: Observed) -> str:
    if observed.offer is not None:
        return f"ConfigMap {name} has no key {STATE_KEY}"
    how = f"hinf classifier apply state.json {observed.owner.name} -n {observed.owner.namespace}"
    return f"there is no ConfigMap {name} with our labels; make it: {how}"


def read(child: Object | None) -> History:
    """Return what the child remembers; nothing where it cannot be read."""
    text = ((child or {}).get("data") or {}).get(HISTORY_KEY)
    if text is None:
        return History()
    try:
        return msgspec.json.decode(text, type=History)
    except msgspec.MsgspecError:
        return History()


def written(history: History) -> str:
    """Return what the child holds."""
    text = msgspec.json.encode(history, order="sorted")
    return msgspec.json.format(text, indent=1).decode()
