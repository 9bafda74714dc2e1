"""Figures of the classifier on subjects that it never saw, and of what it is held against."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hybrid_router.classify.model import sigmoid
from hybrid_router.classify.training import examples, fit, measures
from hybrid_router.classify.training.labels import FAULTY, Label, folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUPS = 4
"""Subjects are divided into so many groups; each is scored by a model of the others."""
PARTS = 13
"""The same with more and smaller groups: nearer to what a model of all subjects gives."""
RESAMPLES = 200
"""Of the subjects, for intervals: how else could the subjects have fallen?"""
QUALITIES = (0.95, 0.90)
SURE = 0.85
ORACLE = "oracle: each subject's mean"


@dataclass(frozen=True, slots=True)
class Figures:
    """How good one score is."""

    name: str
    auc: float
    apgr: float
    ece: float
    share_at_85: float
    """The largest share, of the surest first, that is right 85 % of the time: of the ranking."""
    said_85: float
    """The share whose probability is 0.85 or more: what a threshold of 0.85 keeps local."""
    local_at_95: float
    local_at_90: float


def figures(name: str, rows: Sequence[Label], scores: Sequence[float]) -> Figures:
    """Return the figures of a score; those that need the large model leave faulty labels out."""
    small = [row.small for row in rows]
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    kept = [scores[i] for i in sound]
    both = [rows[i].small for i in sound], [rows[i].large for i in sound]
    points = measures.quality_curve(kept, *both)
    at_95, at_90 = (measures.local_share(points, quality) for quality in QUALITIES)
    return Figures(
        name,
        measures.auc(scores, small),
        measures.apgr(kept, *both),
        measures.ece([min(max(s, 0.0), 1.0) for s in scores], small),
        measures.share_at_precision(scores, small, SURE),
        sum(score >= SURE for score in scores) / len(scores),
        at_95,
        at_90,
    )


@dataclass(slots=True)
class Held:
    """What the whole training gives for rows of subjects that it was not given."""

    rows: list[Label]
    probabilities: list[float]
    quality_at_95: list[float]
    """Quality reached, per group, by the threshold that the training chose for 0.95."""
    pooled_at_95: float
    """The same over the questions of all groups, each by its own training's threshold."""


def held_out(rows: Sequence[Label]) -> Held:
    """Train on all groups but one, calibration and curve included, and score that one; in turn."""
    fold = folds([row.subject for row in rows], GROUPS)
    held, right, most = Held([], [], [], 0.0), 0, 0
    said = fit.intents(rows)  # knows subjects and phrases, and nobody's answers
    for group in range(GROUPS):
        outside = [row for row in rows if fold[row.subject] == group]
        asked = {row.prompt for row in outside}  # some questions stand in two subjects
        inside = [r for r in rows if fold[r.subject] != group and r.prompt not in asked]
        check_no_leak(inside, outside)
        model = fit.model_of(fit.train(inside, intents_fitted=said))
        found = [model.judge(model.read(row.prompt)).probability for row in outside]
        held.rows.extend(outside)
        held.probabilities.extend(found)
        kept, best = _reached(outside, found, fit.threshold(model, QUALITIES[0]))
        held.quality_at_95.append(kept / best)
        right, most = right + kept, most + best
    held.pooled_at_95 = right / most
    return held


def scores_in_parts(rows: Sequence[Label]) -> list[float]:
    """Return the bare score of each row, by a fit that saw the subjects of the other parts."""
    return [sigmoid(score) for score in fit.out_of_fold(rows, PARTS)]


def interval(
    measure: Callable[[Sequence[int]], float], rows: Sequence[Label], seed: int = 0
) -> tuple[float, float]:
    """Return the middle 90 % of a measure over subjects drawn with replacement.

    Args:
        measure: from indices of rows.
        rows: what it is measured on.
        seed: of the draws.
    """
    of: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        of.setdefault(row.subject, []).append(i)
    chance, subjects = random.Random(seed), sorted(of)  # noqa: S311  a bootstrap, not a secret
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(subjects, k=len(subjects))
        found.append(measure([i for subject in drawn for i in of[subject]]))
    found.sort()
    return found[RESAMPLES // 20], found[-1 - RESAMPLES // 20]


def intervals(rows: Sequence[Label], scores: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Return the intervals of AUC, and of APGR without the faulty subjects."""
    small = [row.small for row in rows]
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]

    def area(at: Sequence[int]) -> float:
        return measures.auc([scores[i] for i in at], [small[i] for i in at])

    def recovered(at: Sequence[int]) -> float:
        chosen = [sound[i] for i in at]
        both = [small[i] for i in chosen], [rows[i].large for i in chosen]
        return measures.apgr([scores[i] for i in chosen], *both)

    kept = [rows[i] for i in sound]
    return {"auc": interval(area, rows), "apgr": interval(recovered, kept)}


def plotted(rows: Sequence[Label], scores: Sequence[float]) -> list[tuple[float, float]]:
    """Return fifty points of (share kept local, quality), faulty subjects left out."""
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    points = measures.quality_curve(
        [scores[i] for i in sound],
        [rows[i].small for i in sound],
        [rows[i].large for i in sound],
    )
    chosen = [points[round(i * (len(points) - 1) / 50)] for i in range(51)]
    return [(share, quality) for _, quality, share in chosen]


def check_no_leak(inside: Sequence[Label], outside: Sequence[Label]) -> None:
    """Make sure that no subject and no question is on both sides.

    Raises:
        ValueError: one is.
    """
    subjects = {row.subject for row in inside} & {row.subject for row in outside}
    if subjects:
        raise ValueError(f"subjects on both sides: {', '.join(sorted(subjects))}")
    if {row.prompt for row in inside} & {row.prompt for row in outside}:
        raise ValueError("a question is on both sides")


def _reached(
    rows: Sequence[Label], probabilities: Sequence[float], threshold: float
) -> tuple[int, int]:
    """Return the right answers of both sides together, and those of the large model alone."""
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    right = sum(rows[i].small if probabilities[i] >= threshold else rows[i].large for i in sound)
    return right, sum(rows[i].large for i in sound)


def baselines(rows: Sequence[Label]) -> dict[str, list[float]]:
    """Return the scores of chance, of length, TF-IDF and an oracle of subjects' means."""
    means: dict[str, list[bool]] = {}
    for row in rows:
        means.setdefault(row.subject, []).append(row.small)
    return {
        "random": [((i * 2_654_435_761) % 2**32) / 2**32 for i in range(len(rows))],
        "prompt length": [1.0 / (1.0 + len(row.prompt) / 1_000) for row in rows],
        "TF-IDF + logistic regression": _tf_idf(rows),
        ORACLE: [sum(means[row.subject]) / len(means[row.subject]) for row in rows],
    }


def _tf_idf(rows: Sequence[Label]) -> list[float]:
    fold = folds([row.subject for row in rows], GROUPS)
    scores = [0.0] * len(rows)
    for group in range(GROUPS):
        inside = [row for row in rows if fold[row.subject] != group]
        vectors = TfidfVectorizer(min_df=3, sublinear_tf=True)
        regression = LogisticRegression(max_iter=300)
        regression.fit(vectors.fit_transform([r.prompt for r in inside]), [r.small for r in inside])
        at = [i for i, row in enumerate(rows) if fold[row.subject] == group]
        found = regression.predict_proba(vectors.transform([rows[i].prompt for i in at]))[:, 1]
        for i, value in zip(at, found, strict=True):
            scores[i] = float(value)
    return scores


def intents_by(rows: Sequence[Label]) -> dict[str, dict[str, float]]:
    """Return the accuracy on phrases that the fit had not seen, by language and by intent.

    Every phrase is held out once, in one of `examples.PARTS` fits.
    """
    right: dict[str, dict[str, list[bool]]] = {"language": {}, "intent": {}}
    for part in range(examples.PARTS):
        bias, weights = fit.intents(rows, without=part)
        for example in examples.generate(fit.SEED):
            if example.part == part:
                hit = fit.named(bias, weights, example.text) == example.intent
                right["language"].setdefault(example.language, []).append(hit)
                right["intent"].setdefault(example.intent, []).append(hit)
    return {
        kind: {name: sum(hits) / len(hits) for name, hits in sorted(groups.items())}
        for kind, groups in right.items()
    }
