"""The access log: one JSON line per request and per outcome, for machines.

It never holds a prompt, an answer, a key or a query string; a key is named by its id. It is what
`hinf classifier fit` reads: docs/calibration.md says what the fields mean.
"""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from hybrid_router.core.cascade import Sureness


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, as logged."""

    time: float
    """When it was answered, in seconds since 1970."""
    request_id: str
    feedback_id: str = ""
    """The router's own, where `request_id` is the client's, who may use it for many."""
    surface: str
    status: int
    seconds: float
    model: str = ""
    """As in the table; empty if the table does not know it."""
    source: str = ""
    backend: str = ""
    served_model: str = ""
    """As the backend knows it."""
    reason: str = ""
    confidence: float | None = None
    score: float | None = None
    """The confidence before a calibration state corrected it."""
    threshold: float | None = None
    """That the confidence was held against."""
    decision: str = ""
    """The side that was asked first: `local` or `api`."""
    shadow: str = ""
    """In shadow mode: the side that would have been."""
    classifier: str = ""
    """Who judged."""
    classifier_model: str = ""
    """Digest of the model that the confidence is of."""
    state: str = ""
    """Digest of the calibration state in force."""
    data_classes: tuple[str, ...] = ()
    intent: str | None = None
    rule: str | None = None
    """The rule of the policy that matched."""
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    """Of all attempts, a draft that was not taken included, at backends that have prices."""
    draft: Sureness | None = None
    """What the log-probabilities of the local model's draft said."""
    key: str | None = None
    """The id of the client's key."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="outcome"):
    """How good one answer was, as logged: `"type": "outcome"`. The last one of a source counts."""

    time: float
    """When it became known, in seconds since 1970."""
    request_id: str
    """Of the request that was answered."""
    feedback_id: str = ""
    """Likewise."""
    source: str
    """How it became known: `feedback`, `escalation`, `repeat`, `judge`."""
    score: float | None = None
    """From 0, bad, to 1, good; None takes back what this source said before."""
    side: str = ""
    """Whose answer it judges: `local` or `api`."""
    reason: str | None = None
    """The client's own word for it."""
    key: str | None = None
    """The id of the client's key."""


class AccessLog:
    """Writes lines to a stream; stops for good, quietly, when nobody reads it any more.

    Attributes:
        on: whether lines are wanted.
    """

    def __init__(self, stream: BinaryIO, *, on: bool = True) -> None:
        self._stream: BinaryIO | None = stream
        self._encoder = msgspec.json.Encoder()
        self.on = on

    def write(self, line: Access | Outcome) -> None:
        """Write one line."""
        if self._stream is None or not self.on:
            return
        try:
            self._stream.write(self._encoder.encode(line) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):  # a pipe that was closed must not fail a request
            self._stream = None
