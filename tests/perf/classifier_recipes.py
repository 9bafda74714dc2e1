"""What the embedded classifier is held against: the field's recipes, on the same splits.

Each is fitted on the same questions as the classifier, its scores out of fold (whole subjects left
out) make a probability and the threshold for a quality, and it is scored on the subjects left out.
The reference's list of features is not published; `surface` is written after its description.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybrid_router.classify import features
from hybrid_router.classify.additive import PAIRED
from hybrid_router.classify.training import fit as training
from hybrid_router.classify.training import measures
from hybrid_router.classify.training.labels import FAULTY, Label, folds

FOLDS = 4
_ASKS = (
    "what", "which", "who", "when", "where", "why", "how", "is", "are", "does", "if", "find",
    "calculate", "the", "a", "an", "in", "suppose", "let", "for", "according", "this",
)  # fmt: skip
_HOLDS = (
    "__", "except", "of the following", "statement 1", "how many", "how much", "not ", "best",
    "true", "false", "most likely", "all of the above", "refers to", "known as", "passage",
    "each", "per ", "total", "year", "\\(", "->", "def ", "==",
)  # fmt: skip
_WORD = re.compile(r"[A-Za-z']+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OPTION = re.compile(r"^[A-F]\. (.*)$", re.MULTILINE)


def surface(text: str) -> list[float]:
    """Return 67 features of a question's form, in plain Python: lengths, digits, options ..."""
    at = text.find("\nA. ")
    question = text if at < 0 else text[:at]
    options = _OPTION.findall(text) if at >= 0 else []
    words, asked = _WORD.findall(text), _WORD.findall(question.lower())
    size, n = len(text) + 1, len(words) + 1
    numbers, lengths = _NUMBER.findall(text), [len(each) for each in options] or [0]
    low = text.lower()
    found = [
        math.log(size), math.log(n), math.log(len(question) + 1), float(text.count("\n")),
        sum(map(len, words)) / n, len({w.lower() for w in words}) / n,
        sum(len(w) > 9 for w in words) / n, sum(len(w) < 4 for w in words) / n,
        sum(w[0].isupper() for w in words) / n, sum(w.isupper() and len(w) > 1 for w in words) / n,
        sum(c.isdigit() for c in text) / size, len(numbers) / n,
        max((math.log1p(float(x)) for x in numbers if len(x) < 12), default=-1.0),
        sum(not c.isalnum() and not c.isspace() for c in text) / size,
        sum(ord(c) > 127 for c in text) / size, sum(c in "+-*/=<>^|\\" for c in text) / size,
        *(text.count(mark) / size for mark in "?.,;:()\"$%'{"),
        len(options), sum(lengths) / len(lengths), max(lengths), min(lengths),
        (max(lengths) - min(lengths)) / (max(lengths) + 1), float(np.std(lengths)),
        sum(any(c.isdigit() for c in o) for o in options) / len(lengths),
        sum(o[:1].isupper() for o in options) / len(lengths),
        sum(len(o.split()) == 1 for o in options) / len(lengths),
        float(question.rstrip().endswith("?")), float(question.rstrip()[-1:] in ".:_"),
        len(question) / (len(_WORD.findall(question)) + 1), float(question.count(". ")),
        float(_ASKS.index(asked[0]) if asked and asked[0] in _ASKS else -1),
        min((_ASKS.index(w) for w in asked if w in _ASKS[:7]), default=-1),
        *(float(low.count(each)) for each in _HOLDS), float("Answer:" in text[-10:]),
    ]  # fmt: skip
    return [float(value) for value in found]


Fitted = Callable[[Any], Any]
"""From a table of features to scores between 0 and 1."""
Fit = Callable[[Any, Any], Fitted]
"""From a table of features, and who was right, to that."""
Calibrate = Callable[[Any, Any], Callable[[Any], Any]]
"""From scores out of fold, and who was right, to what makes a score a probability."""
_PAIRED = [features.NAMES.index(name) for name in PAIRED]


def boosted(table: Any, right: Any) -> Fitted:
    """Fit gradient boosting."""
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=40,
        l2_regularization=1.0, random_state=0,
    )  # fmt: skip
    model.fit(table, right)
    return lambda found: model.predict_proba(found)[:, 1]


def additive(table: Any, right: Any) -> Fitted:
    """Fit the embedded classifier's own score, on questions as they stand."""
    edges, steps = zip(*map(training.steps, table.T), strict=True)

    def columns(found: Any) -> Any:
        normal = np.column_stack(
            [
                np.array(step)[np.searchsorted(np.array(edge), column, side="right")]
                for edge, step, column in zip(edges, steps, found.T, strict=True)
            ]
        )
        paired = normal[:, _PAIRED]
        pairs = combinations(range(len(_PAIRED)), 2)
        return np.column_stack([normal, *(paired[:, a] * paired[:, b] for a, b in pairs)])

    known = columns(table)
    spread = known.std(axis=0) + 1e-9
    model = LogisticRegression(C=training.FREEDOM_OF_FORM, max_iter=300).fit(known / spread, right)
    return lambda found: model.predict_proba(columns(found) / spread)[:, 1]


def remembered(fit: Fit) -> Fit:
    """Return the same fit, done once for the same table."""
    known: dict[bytes, Fitted] = {}

    def fitted(table: Any, right: Any) -> Fitted:
        key = hashlib.sha256(table.tobytes()).digest()
        if key not in known:
            known[key] = fit(table, right)
        return known[key]

    return fitted


def linear(table: Any, right: Any, freedom: float = 0.01) -> Fitted:
    """Fit a logistic regression on standardised columns."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=freedom, max_iter=500))
    model.fit(table, right)
    return lambda found: model.predict_proba(found)[:, 1]


def tf_idf(texts: Any, right: Any) -> Fitted:
    """Fit a logistic regression on words."""
    words = TfidfVectorizer(min_df=3, sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(max_iter=300))
    model.fit(texts, right)
    return lambda found: model.predict_proba(found)[:, 1]


def given(_table: Any, _right: Any) -> Fitted:
    """Take the only column as the score: nothing is fitted."""
    return lambda found: found[:, 0]


def grouped(fit: Fit, table: Any, rows: Sequence[Label], count: int = FOLDS) -> Any:
    """Return scores out of fold: whole subjects are left out in turn."""
    fold = folds([row.subject for row in rows], count)
    number = np.array([fold[row.subject] for row in rows])
    right, scores = np.array([row.small for row in rows]), np.zeros(len(rows))
    for each in range(count):
        scores[number == each] = fit(table[number != each], right[number != each])(
            table[number == each]
        )
    return scores


def _log_odds(scores: Any) -> Any:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _regression(columns: Callable[[Any], Any], scores: Any, right: Any) -> Callable[[Any], Any]:
    model = LogisticRegression(C=1e6, tol=1e-8).fit(columns(scores), right)
    return lambda found: model.predict_proba(columns(found))[:, 1]


def as_said(_scores: Any, _right: Any) -> Callable[[Any], Any]:
    """Take a score for the probability that it says it is."""
    return lambda found: found


def platt(scores: Any, right: Any) -> Callable[[Any], Any]:
    """Fit a slope and an offset on log-odds."""
    return _regression(lambda s: _log_odds(s)[:, None], scores, right)


def beta(scores: Any, right: Any) -> Callable[[Any], Any]:
    """Fit beta calibration: log p and log (1 - p) each have a slope (Kull et al., 2017)."""

    def columns(found: Any) -> Any:
        clipped = np.clip(found, 1e-6, 1 - 1e-6)
        return np.column_stack([np.log(clipped), -np.log1p(-clipped)])

    return _regression(columns, scores, right)


def isotonic(scores: Any, right: Any) -> Callable[[Any], Any]:
    """Fit an increasing step function."""
    model = IsotonicRegression(out_of_bounds="clip", y_min=0.01, y_max=0.99).fit(scores, right)
    predict: Callable[[Any], Any] = model.predict
    return predict


_POINTS = 60


def venn_abers(scores: Any, right: Any) -> Callable[[Any], Any]:
    """Fit Venn-Abers: two isotonic fits with the score itself added as wrong and as right.

    At `_POINTS` scores, linear between them; the two are merged as Vovk does, p1 / (1 - p0 + p1).
    """
    grid = np.unique(np.quantile(scores, np.linspace(0, 1, _POINTS)))
    merged = []
    for at in grid:
        low, high = (
            IsotonicRegression(out_of_bounds="clip")
            .fit(np.append(scores, at), np.append(right, label))
            .predict([at])[0]
            for label in (0.0, 1.0)
        )
        merged.append(high / (1 - low + high))
    return lambda found: np.interp(found, grid, merged)


CALIBRATIONS: dict[str, Calibrate] = {
    "Platt": platt, "beta": beta, "isotonic": isotonic, "Venn-Abers": venn_abers,
}  # fmt: skip


def threshold(rows: Sequence[Label], probabilities: Any, quality: float) -> float:
    """Return the lowest threshold that keeps a quality on all rows with sound labels together."""
    sound = [i for i, row in enumerate(rows) if row.subject not in FAULTY]
    points = measures.quality_curve(
        [float(probabilities[i]) for i in sound],
        [rows[i].small for i in sound],
        [rows[i].large for i in sound],
    )
    return measures.threshold_for_quality(points, quality)
