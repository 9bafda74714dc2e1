"""Labels: was a small model right on a question, and a large one?"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLUMNS = ("subject", "prompt", "small_correct", "large_correct")
FAULTY = frozenset(
    (
        "abstract_algebra", "college_chemistry", "college_physics", "elementary_mathematics",
        "high_school_physics",
    )
)  # fmt: skip
"""The large model is marked wrong on half of these, because its answers were not read well. So
they say nothing of what is lost by staying local, and count in no threshold."""


class LabelsError(ValueError):
    """A file is not of labels; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Label:
    """One question and who was right."""

    subject: str
    prompt: str
    small: bool
    large: bool


def read(paths: Iterable[Path]) -> list[Label]:
    """Read CSV files, gzipped or not.

    Raises:
        LabelsError: a column is missing, or a file is empty.
        OSError: a file cannot be read.
    """
    found: list[Label] = []
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise LabelsError(f"{path}: has no column {missing[0]}; needed: {COLUMNS}")
            found += [
                Label(
                    row["subject"],
                    row["prompt"],
                    row["small_correct"] in _TRUE,
                    row["large_correct"] in _TRUE,
                )
                for row in rows
            ]
    if not found:
        raise LabelsError("the files hold no labels")
    return found


_TRUE = frozenset(("1", "true", "True"))


def folds(subjects: Iterable[str], count: int) -> dict[str, int]:
    """Return the fold of each subject: whole subjects, of about equal size, always the same."""
    sizes: dict[str, int] = {}
    for subject in subjects:
        sizes[subject] = sizes.get(subject, 0) + 1
    filled = [0] * count
    chosen: dict[str, int] = {}
    for subject in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = filled.index(min(filled))
        chosen[subject] = smallest
        filled[smallest] += sizes[subject]
    return chosen
