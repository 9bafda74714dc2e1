"""The embedded classifier's score beside the field's recipes: `make bench-recipes LABELS=FILE`.

Ten times ten subjects are left out, drawn by chance from seeds that were fixed before anything was
looked at. Each recipe is fitted on the other subjects; its scores out of fold (whole subjects left
out again) make its probability (Platt) and its threshold for 95 % of the large model's quality.
What a figure is worth shows in its spread: the oracle knows each left-out subject's mean.

EMBEDDINGS=wordllama=FILE.npy:minilm=FILE.npy adds embeddings, a row per question, made elsewhere.
CALIBRATIONS=1 holds ways of calibrating the embedded score side by side instead, and SCORES=FILE
what a small language model said (`make bench-slm`) against the embedded score: calibration,
threshold and figures are then of the questions that were asked, scores are fitted on all.
Writes build/bench/recipes.json and .md. About 8 minutes of one core, 1 for the calibrations, 4 for
a language model.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from hybrid_router.classify import features
from hybrid_router.classify.training import labels, measures
from hybrid_router.classify.training.labels import FAULTY, Label
from tests.perf import bench_slm as slm
from tests.perf import classifier_recipes as recipes

OUT = Path("build/bench")
SPLITS, LEFT_OUT = 10, 10
QUALITY = 0.95
COLUMNS = ("auc", "apgr", "ece", "share_right_85", "share_said_85", "quality", "missed_by")
HEADS = ("AUC", "APGR", "ECE", "largest share 85 % right", "share with P >= 0.85",
         "quality for 95 %", "missed by")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to fit on and rows to score, by their numbers."""

    inside: Any
    chosen: Any
    """Positions in `inside` of the rows to calibrate on."""
    outside: Any


def splits(rows: Sequence[Label], asked: Any = None) -> Iterator[Split]:
    """Yield the splits; no subject and no question is on both sides.

    Args:
        rows: the questions.
        asked: numbers of those to calibrate on and to score; None: all.
    """
    wanted = np.ones(len(rows), dtype=bool) if asked is None else np.isin(range(len(rows)), asked)
    subjects = sorted({row.subject for row in rows})
    for seed in range(SPLITS):
        chance = random.Random(seed)  # noqa: S311  a split, not a secret
        left = set(chance.sample(subjects, LEFT_OUT))
        seen = {row.prompt for row in rows if row.subject in left}
        inside = np.array([i for i, row in enumerate(rows) if row.prompt not in seen])
        outside = np.array([i for i, row in enumerate(rows) if row.subject in left])
        yield Split(inside, np.flatnonzero(wanted[inside]), outside[wanted[outside]])


def figures(rows: Sequence[Label], said: Any, threshold: float | None = None) -> dict[str, float]:
    """Return the figures of one split; those of the large model leave faulty labels out."""
    small = [row.small for row in rows]
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    kept, large = [float(said[i]) for i in sound], [rows[i].large for i in sound]
    found = {
        "auc": measures.auc(said.tolist(), small),
        "apgr": measures.apgr(kept, [rows[i].small for i in sound], large),
        "ece": measures.ece(said.tolist(), small),
        "share_right_85": measures.share_at_precision(said.tolist(), small, 0.85),
        "share_said_85": float((said >= 0.85).mean()),
    }
    if threshold is not None:
        right = sum(
            rows[i].small if p >= threshold else rows[i].large
            for i, p in zip(sound, kept, strict=True)
        )
        found["quality"] = right / sum(large)
        found["missed_by"] = abs(found["quality"] - QUALITY)
    return found


def measured(
    rows: Sequence[Label],
    table: Any,
    fit: recipes.Fit,
    calibrate: recipes.Calibrate = recipes.platt,
    asked: Any = None,
) -> list[dict[str, float]]:
    """Return the figures of a recipe on every split."""
    found = []
    for split in splits(rows, asked):
        inside = [rows[i] for i in split.inside]
        right = np.array([row.small for row in inside])
        known = table[split.inside]
        out_of_fold = recipes.grouped(fit, known, inside)[split.chosen]
        probability = calibrate(out_of_fold, right[split.chosen])
        said = probability(fit(known, right)(table[split.outside]))
        chosen = [inside[i] for i in split.chosen]
        threshold = recipes.threshold(chosen, probability(out_of_fold), QUALITY)
        found.append(figures([rows[i] for i in split.outside], said, threshold))
    return found


def oracle(rows: Sequence[Label], asked: Any = None) -> list[dict[str, float]]:
    """Return the figures of who knows the mean of every subject left out, and no more."""
    found = []
    for split in splits(rows, asked):
        outside = [rows[i] for i in split.outside]
        answers: dict[str, list[bool]] = {}
        for row in outside:
            answers.setdefault(row.subject, []).append(row.small)
        said = np.array([sum(answers[r.subject]) / len(answers[r.subject]) for r in outside])
        found.append(figures(outside, said))
    return found


def beside_a_model(rows: Sequence[Label], ours: Any, file: Path) -> dict[str, Any]:
    """Return the figures of a language model's answers, and of others on the same questions."""
    said = slm.read(file, rows)
    asked = slm.whole(said, rows)
    simple = np.full((len(rows), 1), 0.5)
    for number in asked:
        simple[number] = said[number]["p"] or 0.0  # without a verdict it goes to the API
    chance = np.random.default_rng(0).random((len(rows), 1))
    # A word is not quite sure, since 1 is the threshold that keeps nothing; ties fall by chance.
    word = np.where(simple >= 0.5, 0.999, 0.001) + chance / 1e6
    size = np.log([[len(row.prompt) + 1] for row in rows])
    texts = np.array([row.prompt for row in rows], dtype=object)
    given, as_said, platt = recipes.given, recipes.as_said, recipes.platt
    return {
        "oracle: each subject's mean": oracle(rows, asked),
        "embedded (additive)": measured(rows, ours, recipes.additive, platt, asked),
        "TF-IDF + logistic regression": measured(rows, texts, recipes.tf_idf, platt, asked),
        "prompt length": measured(rows, size, recipes.linear, platt, asked),
        "random": measured(rows, chance, given, platt, asked),
        "SLM: its word": measured(rows, word, given, as_said, asked),
        "SLM: P(SIMPLE)": measured(rows, simple, given, as_said, asked),
        "SLM: P(SIMPLE), calibrated": measured(rows, simple, given, platt, asked),
    }


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the table: the mean over splits, and the least and the most."""
    lines = [f"| | {' | '.join(HEADS)} |", f"|{'---|' * (len(HEADS) + 1)}"]
    for name, each in found.items():
        cells = []
        for column in COLUMNS:
            values = [split[column] for split in each if column in split]
            shown = f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else ""
            cells.append(shown)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, write and print."""
    rows = labels.read([Path(each) for each in os.environ["LABELS"].split(":")])
    ours = np.array([features.surface(row.prompt) for row in rows])
    found: dict[str, list[dict[str, float]]] = {}
    if os.environ.get("CALIBRATIONS"):
        fit = recipes.remembered(recipes.additive)
        for name, calibrate in recipes.CALIBRATIONS.items():
            found[name] = measured(rows, ours, fit, calibrate)
    elif os.environ.get("SCORES"):
        found = beside_a_model(rows, ours, Path(os.environ["SCORES"]))
    else:
        form = np.array([recipes.surface(row.prompt) for row in rows])
        found["oracle: each subject's mean"] = oracle(rows)
        found["embedded (additive)"] = measured(rows, ours, recipes.additive)
        found["its features, boosting"] = measured(rows, ours, recipes.boosted)
        found["surface features, logistic regression"] = measured(rows, form, recipes.linear)
        found["surface features, boosting"] = measured(rows, form, recipes.boosted)
        for each in filter(None, os.environ.get("EMBEDDINGS", "").split(":")):
            name, _, file = each.partition("=")
            vectors = np.load(file)
            found[f"{name}, logistic regression"] = measured(rows, vectors, recipes.linear)
            both = np.hstack([form, vectors])
            found[f"surface features and {name}, boosting"] = measured(rows, both, recipes.boosted)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "recipes.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUT / "recipes.md").write_text(report(found))
    print(report(found))  # noqa: T201  a program for the terminal


if __name__ == "__main__":
    main()
