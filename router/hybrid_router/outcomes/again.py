"""What clients say about an answer by asking again.

The same conversation, word for word, asked of an API model by its name soon after a local model
answered it: the answer was not good enough. The same asked again as it was: perhaps. Asked a third
time, it is a habit (a template, a probe, a benchmark) and says nothing. Conversations are known by
a hash that is of no use outside this process, and no text is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from hybrid_router.openai.request import Call

WINDOW_SECONDS: Final = 600.0
"""How soon asking again says something."""
LEAST_SECONDS = 1.0
"""Nobody reads an answer faster; a client that asks at once retries for reasons of its own."""
REMEMBERED: Final = 4_096
"""Local answers, per router."""
_HEAD: Final = 2_048
_TAIL: Final = 4_096
"""Bytes of a conversation that it is known by, beside its length."""
_CONTENT: Final = {
    "chat": "messages", "messages": "messages", "responses": "input", "completions": "prompt",
}  # fmt: skip
HABIT: Final = 2
"""So often asked again, it says nothing any more."""


_Ids = tuple[str, str]
"""Of a request: `request_id` and `feedback_id` in the log."""


class _Answer(msgspec.Struct):
    ids: _Ids
    said: float
    state: str
    at: float
    again: int = 0


class Sign(msgspec.Struct, frozen=True):
    """What asking again says of an earlier local answer."""

    ids: _Ids
    said: float
    state: str
    source: str
    """`escalation` or `repeat`."""
    score: float | None
    """0: against the answer; None: what was said before is taken back."""


class Again:
    """The local answers of the last minutes, by what was asked."""

    def __init__(self) -> None:
        self._answers: OrderedDict[int, _Answer] = OrderedDict()

    def answered(
        self, known_by: int | None, ids: _Ids, decided: tuple[float, str], now: float
    ) -> None:
        """Remember a local answer; `decided` is the confidence and the state's digest."""
        if known_by is None:
            return
        before = self._answers.pop(known_by, None)
        again = before.again if before is not None and _recent(before, now) else 0
        self._answers[known_by] = _Answer(ids, *decided, now, again)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def asked(self, known_by: int | None, began: float, *, larger: bool) -> Sign | None:
        """Return what a request says of an earlier answer.

        Args:
            known_by: what is asked.
            began: when, of the clock that `answered` gets.
            larger: an API model was asked for by its name.
        """
        known = self._answers.get(known_by) if known_by is not None else None
        if known is None or not _recent(known, began) or began - known.at < LEAST_SECONDS:
            return None
        if larger:
            del self._answers[known_by or 0]
            if known.again >= HABIT:
                return None
            return Sign(known.ids, known.said, known.state, "escalation", 0.0)
        known.again += 1
        if known.again > HABIT:
            return None
        score = 0.0 if known.again < HABIT else None
        return Sign(known.ids, known.said, known.state, "repeat", score)


def conversation(call: Call, key_id: str | None) -> int | None:
    """Return what a conversation is known by in this process; None where nothing is generated."""
    content = _CONTENT.get(call.kind)
    if content is None:
        return None
    raw = memoryview(call.fields[content])
    return hash((key_id, call.kind, len(raw), bytes(raw[:_HEAD]), bytes(raw[-_TAIL:])))


def _recent(answer: _Answer, now: float) -> bool:
    return now - answer.at <= WINDOW_SECONDS
