"""Precision and recall by type: a span counts as found where type and overlap agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.support.personal_data.texts import Labelled

Find = Callable[[str], Iterable[tuple[str, int, int]]]


@dataclass
class Score:
    """What was found, by type."""

    true: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    negatives: int = 0
    negatives_hit: int = 0
    faults: list[str] = field(default_factory=list)

    def precision(self, type_: str | None = None) -> float:
        true, false = self._of(self.true, type_), self._of(self.false, type_)
        return true / (true + false) if true + false else 1.0

    def recall(self, type_: str | None = None) -> float:
        true, missed = self._of(self.true, type_), self._of(self.missed, type_)
        return true / (true + missed) if true + missed else 1.0

    def f1(self, type_: str | None = None) -> float:
        precision, recall = self.precision(type_), self.recall(type_)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def _of(self, counts: Counter[str], type_: str | None) -> int:
        return counts.total() if type_ is None else counts[type_]


def score(find: Find, texts: Iterable[Labelled], *, exact: bool = True) -> Score:
    """Hold `find` against the labels; `exact` wants the same offsets, else any overlap counts."""
    result = Score()
    for item in texts:
        found = list(find(item.text))
        left = list(found)
        for type_, start, end in item.spans:
            hit = next((f for f in left if _same(f, (type_, start, end), exact=exact)), None)
            if hit is None:
                result.missed[type_] += 1
                result.faults.append(f"missed {type_}: {item.text[max(0, start - 30) : end + 8]!r}")
            else:
                result.true[type_] += 1
                left.remove(hit)
        for type_, start, end in left:
            result.false[type_] += 1
            result.faults.append(f"false {type_}: {item.text[max(0, start - 30) : end + 8]!r}")
        for _, start, end in item.negatives:
            result.negatives += 1
            result.negatives_hit += any(f[1] < end and start < f[2] for f in found)
    return result


def _same(found: tuple[str, int, int], label: tuple[str, int, int], *, exact: bool) -> bool:
    if found[0] != label[0]:
        return False
    return found[1:] == label[1:] if exact else found[1] < label[2] and label[1] < found[2]
