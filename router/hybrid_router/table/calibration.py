"""What outcomes say of a classifier's confidences: the state that `hinf classifier fit` writes."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from hybrid_router.table.values import Name, Part, TableError

CALIBRATION_VERSION = 1
"""The version of the state that this package writes and reads."""
EVERY = "*"
"""The name of the map for intents without one of their own."""
BINS = 20
"""Of the reference histogram: equal steps of the score from 0 to 1."""
MAX_CALIBRATION_BYTES = 64 * 1024


class Map(Part, frozen=True):
    """A monotone map of confidences: sigmoid(slope * logit(score) + offset)."""

    slope: Annotated[float, Meta(gt=0, le=100)] = 1.0
    offset: Annotated[float, Meta(ge=-100, le=100)] = 0.0
    outcomes: Annotated[int, Meta(ge=0)] = 0
    """That speak for it."""


class HeldOut(Part, frozen=True):
    """How good the confidences are on outcomes that the fit did not see; less is better."""

    outcomes: Annotated[int, Meta(ge=0)]
    log_loss_before: Annotated[float, Meta(ge=0)]
    log_loss_after: Annotated[float, Meta(ge=0)]
    brier_before: Annotated[float, Meta(ge=0, le=1)]
    brier_after: Annotated[float, Meta(ge=0, le=1)]


class Step(Part, frozen=True):
    """What a threshold means on what was asked here."""

    threshold: Annotated[float, Meta(ge=0, le=1)]
    quality: Annotated[float, Meta(ge=0)]
    """Of the answers, as a share of the API's; expected."""
    local: Annotated[float, Meta(ge=0, le=1)]
    """Share of requests answered locally."""


class Calibration(Part, frozen=True):
    """A state: one map per intent, for one classifier."""

    classifier: Name
    """Whose confidences it maps: `embedded`, `slm`."""
    model: Name
    """Of which model, by its digest, and of which priors; confidences of others are left as they
    are."""
    maps: Annotated[dict[Name, Map], Meta(max_length=64)]
    """By intent; `*` for those that are not named."""
    held_out: HeldOut
    version: int = CALIBRATION_VERSION
    created: Annotated[str, Meta(max_length=40)] = ""
    """When, in RFC 3339."""
    served: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    """Local models whose answers were judged, as their backends know them; empty: not known."""
    reference: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=BINS)] = ()
    """How many requests had a score of each twentieth: what drift is measured against."""
    curve: Annotated[tuple[Step, ...], Meta(max_length=200)] = ()
    """By falling threshold, for policies that state a quality or a share; empty: the classifier's
    own."""

    @property
    def digest(self) -> str:
        """The 12 hex digits by which routers and operator name this state."""
        return hashlib.sha256(encode_calibration(self)).hexdigest()[:12]


def encode_calibration(state: Calibration) -> bytes:
    """Return the canonical JSON of a state: sorted keys, no defaults, `version` always there."""
    document = msgspec.to_builtins(state)
    document["version"] = state.version
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)


def decode_calibration(document: bytes) -> Calibration:
    """Read and check a state.

    Raises:
        TableError: not JSON, not of the schema, of another version, or worse than what it replaces.
    """
    if len(document) > MAX_CALIBRATION_BYTES:
        raise TableError(f"has {len(document)} bytes, above {MAX_CALIBRATION_BYTES}")
    try:
        state = msgspec.json.decode(document, type=Calibration)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TableError(str(error)) from None
    check_calibration("", state)
    return state


def check_calibration(where: str, state: Calibration) -> None:
    """Check what a schema cannot say.

    Raises:
        TableError: with `where`, the state's place in the document.
    """
    at = f"{where}." if where else ""
    if state.version != CALIBRATION_VERSION:
        raise TableError(f"{at}version: {state.version} is not {CALIBRATION_VERSION}")
    if state.reference and len(state.reference) != BINS:
        raise TableError(f"{at}reference: has {len(state.reference)} bins instead of {BINS}")
    thresholds = [step.threshold for step in state.curve]
    if thresholds != sorted(thresholds, reverse=True):
        raise TableError(f"{at}curve: its thresholds do not fall")
    held = state.held_out
    if held.log_loss_after > held.log_loss_before:
        raise TableError(
            f"{at}heldOut: the state is worse than what it replaces on outcomes held out "
            f"(log loss {held.log_loss_after:.4f}, before {held.log_loss_before:.4f})"
        )
