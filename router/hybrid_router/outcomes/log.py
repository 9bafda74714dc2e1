"""Reading a router's log back: decisions, and the outcomes that belong to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.core.calibration import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WEIGHTS = {"feedback": 1.0, "judge": 1.0, "escalation": 0.5, "repeat": 0.25}
"""What an outcome counts, by how it became known: what people do says less than what they say.
Of several about one answer, the first of these counts."""


class _Draft(msgspec.Struct):
    """Of a cascade."""

    tokens: int = 0


class _Line(msgspec.Struct):
    """A line of either kind."""

    time: float = 0.0
    request_id: str = ""
    feedback_id: str = ""
    type: str = ""
    key: str | None = None
    intent: str | None = None
    score: float | None = None
    confidence: float | None = None
    source: str = ""
    side: str = ""
    status: int = 0
    classifier: str = ""
    classifier_model: str = ""
    served_model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    draft: _Draft | None = None

    @property
    def known_by(self) -> str:
        """The id of one answer; clients use theirs for several."""
        return self.feedback_id or self.request_id


@dataclass(frozen=True, slots=True)
class Decision:
    """A request that a confidence decided."""

    request_id: str
    intent: str
    score: float
    """The classifier's, before any calibration."""
    local: bool
    """Whether a local model answered."""
    served: str = ""
    """The model that answered."""
    tokens: tuple[int, int, int] = (0, 0, 0)
    """Of the prompt, of the draft as it was judged, of the answer."""


@dataclass(frozen=True, slots=True)
class Example:
    """A local answer and how good it was."""

    request_id: str
    intent: str
    score: float
    outcome: float
    """From 0 to 1."""
    weight: float
    source: str


@dataclass(slots=True)
class Log:
    """What logs hold of one classifier."""

    classifier: str = ""
    model: str = ""
    """The classifier's, by its digest."""
    decisions: list[Decision] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    """Of local answers."""
    api: list[float] = field(default_factory=list)
    """Outcomes of the API's answers."""
    unmatched: int = 0
    """Outcomes of requests that the logs do not hold, or of another key."""
    other: int = 0
    """Decisions of other classifiers or models."""
    unread: int = 0
    """Lines that are none of the log's."""

    @property
    def served(self) -> tuple[str, ...]:
        """The local models that answered."""
        return tuple(sorted({d.served for d in self.decisions if d.local and d.served}))


_Key = tuple[str | None, str]


def read(lines: Iterable[str]) -> Log:
    """Read logs, in any order and mixed with other lines, as `kubectl logs` gives them.

    Those of several routers stand one behind another, so what was said last is told by the time.
    Where several classifiers decided, the one that decided most counts.
    """
    found = Log()
    decided: dict[_Key, _Line] = {}
    judged: dict[_Key, dict[tuple[str, str], _Line]] = {}
    for line in _lines(lines, found):
        at = line.key, line.known_by
        if line.type == "outcome":
            said = judged.setdefault(at, {})
            before = said.setdefault((line.source, line.side), line)
            if line.time >= before.time:
                said[line.source, line.side] = line
        elif line.confidence is not None and line.status == 200:  # noqa: PLR2004  OK
            decided[at] = line
    who = Counter((line.classifier, line.classifier_model) for line in decided.values())
    if who:
        found.classifier, found.model = who.most_common(1)[0][0]
    for at, line in decided.items():
        if (line.classifier, line.classifier_model) != (found.classifier, found.model):
            found.other += 1
            judged.pop(at, None)
            continue
        _join(found, line, judged.pop(at, {}))
    found.unmatched = len(judged)
    return found


def _lines(lines: Iterable[str], found: Log) -> Iterator[_Line]:
    decode = msgspec.json.Decoder(_Line).decode
    for text in lines:
        start = text.find("{")
        if start < 0:
            found.unread += bool(text.strip())
            continue
        try:
            line = decode(text[start:])
        except (msgspec.MsgspecError, RecursionError):
            found.unread += 1
            continue
        if line.request_id:
            yield line
        else:
            found.unread += 1


def _join(found: Log, line: _Line, judged: dict[tuple[str, str], _Line]) -> None:
    score = line.score if line.score is not None else line.confidence or 0.0
    intent = line.intent or UNKNOWN
    drafted = line.draft.tokens if line.draft is not None else 0
    tokens = line.prompt_tokens, drafted, line.completion_tokens
    found.decisions.append(
        Decision(line.known_by, intent, score, line.source == "local", line.served_model, tokens)
    )
    for source, weight in WEIGHTS.items():
        said = judged.get((source, "local"))
        if said is not None and said.score is not None:
            example = Example(line.known_by, intent, score, said.score, weight, source)
            found.examples.append(example)
            break
    for source in WEIGHTS:
        said = judged.get((source, "api"))
        if said is not None and said.score is not None:
            found.api.append(said.score)
            break
