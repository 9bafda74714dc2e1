"""Training: labels and phrases in, a model file out, the same bytes every time.

On one thread: how many there are decides in which order sums are made, and so the last digits. It
takes no longer, for on cores that are shared they wait for each other.

Needs the extra `train` (scikit-learn). The score is fitted on surface features; whole subjects are
left out in turn, and the scores of the questions left out are what calibration and the quality
curve are made of. Nothing is calibrated on a question that its own score was fitted on.
"""

from __future__ import annotations

import gzip
import math
from functools import cache
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hybrid_router.classify import features, words
from hybrid_router.classify.additive import PAIRED, Additive
from hybrid_router.classify.cut import for_quality
from hybrid_router.classify.model import INTENTS, OPEN, UNKNOWN, Model
from hybrid_router.classify.parameters import Parameters, Point, Scale, read
from hybrid_router.classify.training import examples, measures
from hybrid_router.classify.training.labels import FAULTY, Label, folds
from hybrid_router.classify.training.priors import LABELLED, PRIORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDS = 8
SEED = 0
_STEPS = 32
"""Of a feature's table, at most."""
_MOST = 2.5
"""The largest normal score."""
FREEDOM_OF_FORM = 0.003
"""Inverse strength of the penalty on the weights of features."""
_OPTIONS = features.NAMES.index("options")
_SUBJECT_INTENTS = {
    "gsm8k": "maths", "abstract_algebra": "maths", "elementary_mathematics": "maths",
    "high_school_statistics": "maths", "formal_logic": "reasoning", "professional_law": "reasoning",
    "miscellaneous": "factual-question", "anatomy": "factual-question",
    "marketing": "factual-question", "prehistory": "factual-question",
    "world_religions": "factual-question", "high_school_biology": "factual-question",
}  # fmt: skip
"""Subjects whose intent is beyond doubt: their questions teach the intents, too."""
_GRAMMAR = frozenset(
    ("the", "of", "to", "in", "a", "is", "and", "that", "for", "on", "as", "by", "with", "an", "be")
)
"""Words that every text has: they tell no intent."""
_PER_SUBJECT = 25
_FREEDOM = 4.0
"""Inverse strength of the penalty on the words' weights."""
_LEAST_WEIGHT = 0.05
_CURVE_POINTS = 100
_SHRINK_ROWS = 1_000
"""An intent's own offset counts for half at that many rows; the rest is everyone's."""


def question_only(prompt: str) -> str | None:
    """Return a multiple-choice question without its options; None where there are none."""
    at = prompt.find("\nA. ")
    return prompt[:at] if at > 0 else None


@cache
def _found(text: str) -> tuple[float, ...]:
    """Read a text once: every fit out of fold asks for nearly all of them."""
    return tuple(features.surface(text))


class Scorer:
    """The score of questions with options, and of those without, fitted on all rows."""

    def __init__(self, rows: Sequence[Label]) -> None:
        right = np.array([row.small for row in rows])
        self.with_options = additive([row.prompt for row in rows], right)
        self.open = additive([question_only(row.prompt) or row.prompt for row in rows], right)

    def __call__(self, prompt: str) -> float:
        """Return the score of a prompt."""
        found = _found(prompt)
        return (self.with_options if found[_OPTIONS] else self.open).score(found)


def additive(texts: Sequence[str], right: Any) -> Additive:  # noqa: ANN401  an array
    """Fit the additive score: tables of normal scores, then one regression with a penalty."""
    found = np.array([_found(text) for text in texts])
    edges, scores = zip(*map(steps, found.T), strict=True)
    blank = Additive(0.0, list(edges), list(scores), [], [])
    normal = np.array([blank.normal(row) for row in found.tolist()])
    paired = normal[:, [features.NAMES.index(name) for name in PAIRED]]
    columns = range(len(PAIRED))
    products = [paired[:, a] * paired[:, b] for a, b in combinations(columns, 2)]
    table = np.column_stack([normal, *products])
    spread = table.std(axis=0) + 1e-9
    fitted = LogisticRegression(C=FREEDOM_OF_FORM, max_iter=300, tol=1e-5)
    fitted.fit(table / spread, right)
    weights = [round(float(w), 4) for w in fitted.coef_[0] / spread]
    bias, n = round(float(fitted.intercept_[0]), 4), len(features.NAMES)
    return Additive(bias, list(edges), list(scores), weights[:n], weights[n:])


def steps(column: Any) -> tuple[list[float], list[float]]:  # noqa: ANN401  an array
    """Return edges of steps of about equal size, and the normal score of each step."""
    values, counts = np.unique(column.round(6), return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(column)
    bins = np.minimum((middle * _STEPS).astype(int), _STEPS - 1)
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    weight = np.add.reduceat(counts, first)
    rank = np.add.reduceat(middle * counts, first) / weight
    score = [min(max(NormalDist().inv_cdf(float(r)), -_MOST), _MOST) for r in rank]
    edges = [round(float((values[i - 1] + values[i]) / 2), 6) for i in first[1:]]
    return edges, [round(each, 3) for each in score]


def out_of_fold(rows: Sequence[Label], count: int = FOLDS) -> list[float]:
    """Return a score for every row, by a fit that never saw its subject."""
    fold = folds([row.subject for row in rows], min(count, len({r.subject for r in rows})))
    scores = [0.0] * len(rows)
    for number in sorted(set(fold.values())):
        score = Scorer([row for row in rows if fold[row.subject] != number])
        for i, row in enumerate(rows):
            if fold[row.subject] == number:
                scores[i] = score(row.prompt)
    return scores


def intents(
    rows: Sequence[Label], *, without: int | None = None
) -> tuple[list[float], dict[str, list[tuple[int, float]]]]:
    """Fit the intents, without the phrases of one part where they are to be measured."""
    made = examples.generate(SEED)
    texts = [(e.text, e.intent) for e in made if e.part is None or e.part != without]
    seen: dict[str, int] = {}
    for row in rows:
        intent = _SUBJECT_INTENTS.get(row.subject)
        seen[row.subject] = seen.get(row.subject, 0) + 1
        if intent is not None and seen[row.subject] <= _PER_SUBJECT:
            texts += [(row.prompt, intent), (question_only(row.prompt) or row.prompt, intent)]
    vectors = DictVectorizer(dtype=np.float64)
    table = vectors.fit_transform([_telling(text) for text, _ in texts])
    regression = LogisticRegression(C=_FREEDOM, max_iter=300, tol=1e-5)
    regression.fit(table, [INTENTS.index(intent) for _, intent in texts])
    weights: dict[str, list[tuple[int, float]]] = {}
    for column, token in enumerate(vectors.get_feature_names_out()):
        said = [
            (row, round(float(regression.coef_[row, column]), 2))
            for row in range(len(INTENTS))
            if abs(regression.coef_[row, column]) >= _LEAST_WEIGHT
        ]
        if said:
            weights[str(token)] = said
    return [round(float(b), 3) for b in regression.intercept_], weights


def _telling(text: str) -> dict[str, float]:
    """Return the tokens of a text that may tell an intent: `the` and `of` are left out."""
    return dict.fromkeys(sorted(words.said(text).tokens() - _GRAMMAR), 1.0)


def platt(scores: Sequence[float], right: Sequence[bool]) -> Scale:
    """Return the scaling that makes scores probabilities."""
    fitted = LogisticRegression(C=1e6, tol=1e-8).fit(np.array(scores)[:, None], list(right))
    return Scale(round(float(fitted.coef_[0, 0]), 4), round(float(fitted.intercept_[0]), 4))


def offset(scale: Scale, scores: Sequence[float], right: Sequence[bool]) -> Scale:
    """Return `scale` moved so that its mean is the share that was right, shrunk by few rows."""
    low, high = -4.0, 4.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = sum(_p(scale, s, middle) for s in scores) / len(scores)
        low, high = (middle, high) if mean < sum(right) / len(right) else (low, middle)
    moved = (low + high) / 2 * len(scores) / (len(scores) + _SHRINK_ROWS)
    return Scale(scale.slope, round(scale.offset + moved, 4))


def _p(scale: Scale, score: float, moved: float = 0.0) -> float:
    return 1.0 / (1.0 + math.exp(-(scale.slope * score + scale.offset + moved)))


def calibrated(
    rows: Sequence[Label], scores: Sequence[float], asked: Sequence[str]
) -> dict[str, Scale]:
    """Return the scaling of the labelled intents, and of `unknown`: everyone's."""
    everyone = platt(scores, [row.small for row in rows])
    scales = {UNKNOWN: everyone}
    for intent in LABELLED:
        inside = [i for i, name in enumerate(asked) if name == intent]
        scales[intent] = everyone
        if inside:
            own = [scores[i] for i in inside]
            scales[intent] = offset(everyone, own, [rows[i].small for i in inside])
    return scales


def _prior_scales(score: Callable[[str], float]) -> dict[str, Scale]:
    """Return the scaling of intents without labels: the prior, at the mean of their examples."""
    found: dict[str, list[float]] = {}
    for example in examples.generate(SEED):
        if example.language == "en":
            found.setdefault(example.intent, []).append(score(example.text))
    scales = {}
    for intent, prior in PRIORS.items():
        inside = found[intent.removesuffix(OPEN)]
        mean = sum(inside) / len(inside)
        logit = math.log(prior.probability / (1 - prior.probability))
        scales[intent] = Scale(prior.slope, round(logit - prior.slope * mean, 4))
    return scales


def train(
    rows: Sequence[Label],
    said: Callable[[str], None] = lambda _: None,
    *,
    count: int = FOLDS,
    intents_fitted: tuple[list[float], dict[str, list[tuple[int, float]]]] | None = None,
) -> bytes:
    """Return the model file.

    Args:
        rows: labels; at least two subjects.
        said: told of the progress, a sentence at a time.
        count: into how many parts the subjects are divided for scores out of fold.
        intents_fitted: what `intents` gave, to save fitting it again.
    """
    with threadpool_limits(1):
        parameters = _fitted(rows, said, count, intents_fitted)
    return gzip.compress(msgspec.json.encode(parameters), 9, mtime=0)


def _fitted(
    rows: Sequence[Label],
    said: Callable[[str], None],
    count: int,
    intents_fitted: tuple[list[float], dict[str, list[tuple[int, float]]]] | None,
) -> Parameters:
    said(f"scoring {len(rows)} questions by fits that never saw their subject")
    scores = out_of_fold(rows, count)
    said("fitting the intents")
    bias, weights = intents_fitted or intents(rows)
    asked = [named(bias, weights, row.prompt) for row in rows]
    asked = [intent if intent in LABELLED else UNKNOWN for intent in asked]
    said("fitting the score")
    scorer = Scorer(rows)
    scales = calibrated(rows, scores, asked) | _prior_scales(scorer)
    return Parameters(
        features=features.NAMES,
        with_options=scorer.with_options,
        open=scorer.open,
        bias=bias,
        words=weights,
        scales=scales,
        priors={intent: prior.probability for intent, prior in PRIORS.items()},
        curve=curve(rows, [_p(scales[n], s) for n, s in zip(asked, scores, strict=True)]),
    )


def named(bias: list[float], weights: dict[str, list[tuple[int, float]]], text: str) -> str:
    """Return the likeliest intent of a text by freshly fitted weights."""
    votes = bias.copy()
    for token in words.said(text).tokens():
        for index, weight in weights.get(token, ()):
            votes[index] += weight
    return INTENTS[votes.index(max(votes))]


def model_of(data: bytes) -> Model:
    """Return the model of a file's bytes."""
    return Model(read(data))


def threshold(model: Model, quality: float) -> float:
    """Return the threshold that a model's curve gives for a quality."""
    return for_quality(model.curve, quality)


def curve(rows: Sequence[Label], probabilities: Sequence[float]) -> list[Point]:
    """Return what thresholds mean, from labels whose both sides can be trusted."""
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    points = measures.quality_curve(
        [probabilities[i] for i in sound],
        [rows[i].small for i in sound],
        [rows[i].large for i in sound],
    )
    step = (len(points) - 1) / _CURVE_POINTS
    chosen = [points[round(i * step)] for i in range(_CURVE_POINTS + 1)]
    return [Point(*(round(x, 4) for x in point)) for point in chosen]
