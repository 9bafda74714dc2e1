"""Labels: was a small model right on a question, and a large one?"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
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
        LabelsError: a column is missing, or a file is empty or not text.
        OSError: a file cannot be read.
    """
    found: list[Label] = []
    for path in paths:
        found += _labels(path, csv.DictReader(io.StringIO(_text(path), newline="")))
    if not found:
        raise LabelsError("the files hold no labels")
    return found


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LabelsError(f"{path}: line {line}: is not text in UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise LabelsError(f"{path}: is not gzip, or is cut off") from None


def _labels(path: Path, rows: csv.DictReader[str]) -> list[Label]:
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise LabelsError(f"{path}: has no column {missing[0]}; needed: {', '.join(COLUMNS)}")
    return [
        Label(
            row["subject"],
            row["prompt"],
            row["small_correct"] in _TRUE,
            row["large_correct"] in _TRUE,
        )
        for row in rows
    ]


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
