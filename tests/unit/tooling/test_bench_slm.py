"""Which questions `make bench-slm` asks, and which of its answers count."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hybrid_router.classify.training.labels import Label
from tests.perf.bench_recipes import splits
from tests.perf.bench_slm import key, read, rounds, whole

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    Label(f"subject {subject:02}", f"question {number} of {subject}", small=True, large=True)
    for subject in range(12)
    for number in range(3 + subject)
]


def test_every_round_asks_one_question_of_every_subject_and_none_twice() -> None:
    drawn = list(rounds(ROWS))
    assert len(drawn) == 3  # the smallest subject has no more
    for each in drawn:
        assert Counter(ROWS[number].subject for number in each).most_common(1)[0][1] == 1
    assert len({number for each in drawn for number in each}) == 3 * 12
    assert drawn == list(rounds(ROWS))


def test_a_round_that_was_not_asked_to_its_end_does_not_count() -> None:
    first, second = islice(rounds(ROWS), 2)
    said = {number: {"p": 0.5} for number in (*first, *second[:-1])}
    assert whole(said, ROWS) == first


def test_answers_to_other_labels_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "slm.jsonl"
    file.write_text(json.dumps({"row": 1, "key": key(ROWS[1]), "p": None}) + "\n")
    assert read(file, ROWS)[1]["p"] is None
    with pytest.raises(ValueError, match="not of these labels"):
        read(file, ROWS[::-1])


def test_what_was_not_asked_is_fitted_on_but_neither_calibrated_on_nor_scored() -> None:
    asked = next(rounds(ROWS))
    for every, some in zip(splits(ROWS), splits(ROWS, asked), strict=True):
        assert some.inside.tolist() == every.inside.tolist()
        assert len(every.chosen) == len(every.inside)
        scored = [*some.inside[some.chosen].tolist(), *some.outside.tolist()]
        assert sorted(scored) == sorted(asked)
        assert np.isin(some.outside, every.outside).all()
