"""What the embedded classifier is held against: the field's recipes, on the same splits.

Each is fitted on the same questions as the classifier, its scores out of fold (whole subjects left
out) make a Platt scaling and the threshold for a quality, and it is scored on the subjects left
out. Embeddings are no dependency of this project: they come as a NumPy file, a row per question
(`python -m tests.perf.embed_labels`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybrid_router.classify.training.labels import Label, folds

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


def surface_76(text: str) -> list[float]:
    """Return 76 features of a question's form, in plain Python: lengths, digits, options ..."""
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


def boosted(table: Any, right: Any) -> Fitted:
    """Fit gradient boosting."""
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=40,
        l2_regularization=1.0, random_state=0,
    )  # fmt: skip
    model.fit(table, right)
    return lambda found: model.predict_proba(found)[:, 1]


def linear(table: Any, right: Any, freedom: float = 0.01) -> Fitted:
    """Fit a logistic regression on standardised columns."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=freedom, max_iter=500))
    model.fit(table, right)
    return lambda found: model.predict_proba(found)[:, 1]


def grouped(
    fit: Callable[[Any, Any], Fitted], table: Any, rows: Sequence[Label], count: int = FOLDS
) -> Any:
    """Return scores out of fold: whole subjects are left out in turn."""
    fold = folds([row.subject for row in rows], count)
    number = np.array([fold[row.subject] for row in rows])
    right, scores = np.array([row.small for row in rows]), np.zeros(len(rows))
    for each in range(count):
        scores[number == each] = fit(table[number != each], right[number != each])(
            table[number == each]
        )
    return scores
