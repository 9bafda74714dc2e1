"""What outcomes make of confidences: `make bench-calibration LABELS=FILE`.

The classifier is trained on half of the subjects. Requests about the others come in; half of them,
the surest, are answered locally, and of these so many are judged. A state is fitted, and measured
on questions whose outcomes it never saw. `another model` stands for a local model that is not the
one of the labels: of its right answers to maths and reasoning, 40 % are made wrong by chance.
Writes build/bench/calibration.json and .md. ROWS=4000 takes so many questions, drawn by chance.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from hybrid_router.classify.cut import for_quality
from hybrid_router.classify.parameters import Point, shipped
from hybrid_router.classify.training import fit as training
from hybrid_router.classify.training import labels
from hybrid_router.core.calibration import corrected
from hybrid_router.outcomes import fit as fitting
from hybrid_router.outcomes.log import Decision, Example, Log

OUT = Path("build/bench")
JUDGED = (0, 30, 100, 300, 1_000)
RUNS = 5
QUALITY = 0.95
COMPARED = 0.02
WORSE = {"maths", "reasoning"}
FLIPPED = 0.4
MODELS = ("the labels'", "another")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, what the classifier said, and who would have been right."""

    number: int
    intent: str
    score: float
    small: bool
    large: bool
    sound: bool


def asked(rows: list[labels.Label]) -> tuple[list[Asked], list[Point]]:
    """Return the requests about subjects that the training never saw, and the shipped curve."""
    fold = labels.folds([row.subject for row in rows], 2)
    inside = [row for row in rows if fold[row.subject] == 0]
    known = {row.prompt for row in inside}
    known_words = shipped().bias, shipped().words  # of phrases and subjects, of nobody's answers
    model = training.model_of(training.train(inside, count=4, intents_fitted=known_words))
    found: list[Asked] = []
    for row in rows:
        if fold[row.subject] == 1 and row.prompt not in known:
            judged = model.judge(model.read(row.prompt))
            sound = row.subject not in labels.FAULTY
            said = judged.intent, judged.probability
            found.append(Asked(len(found), *said, row.small, row.large, sound))
    return found, model.curve


def another(requests: list[Asked], draw: random.Random) -> list[Asked]:
    """Return the same, asked of a local model that is worse at some tasks."""
    return [
        replace(r, small=r.small and not (r.intent in WORSE and draw.random() < FLIPPED))
        for r in requests
    ]


@dataclass(frozen=True, slots=True)
class Way:
    """How outcomes come in."""

    judged: int
    """Local answers that are judged."""
    compared: float
    """Share of requests that both sides answer for a judge."""


def run(
    requests: list[Asked], curve: list[Point], way: Way, draw: random.Random
) -> dict[str, float]:
    """Fit on one half and measure on the other."""
    mixed = list(requests)
    draw.shuffle(mixed)
    half = len(mixed) // 2
    seen, unseen = mixed[:half], mixed[half:]
    cut = median(r.score for r in seen)
    local = [r for r in seen if r.score >= cut]
    feedback = draw.sample(local, min(way.judged, len(local)))
    both = [r for r in seen if draw.random() < way.compared]
    examples = [_example(r, "feedback") for r in feedback] + [_example(r, "judge") for r in both]
    decisions = [Decision(str(r.number), r.intent, r.score, r.score >= cut) for r in seen]
    log = Log("embedded", "m", decisions, examples, [float(r.large) for r in both])
    fitted = fitting.fit(log, None, 0.85, QUALITY, "", curve)
    taken = fitted.better and len(examples) >= fitting.LEAST_OUTCOMES
    if taken:
        curve = [Point(s.threshold, s.quality, s.local) for s in fitted.state.curve]
    maps = fitted.state.maps if taken else {}
    said = [corrected(maps, r.intent, r.score) for r in unseen]
    return _figures(unseen, said, for_quality(curve, QUALITY)) | {"taken": float(taken)}


def _example(r: Asked, source: str) -> Example:
    return Example(f"{source}-{r.number}", r.intent, r.score, float(r.small), 1.0, source)


def _figures(unseen: list[Asked], said: list[float], threshold: float) -> dict[str, float]:
    right = [float(r.small) for r in unseen]
    sound = [(r, p) for r, p in zip(unseen, said, strict=True) if r.sound]
    kept = sum(r.small if p >= threshold else r.large for r, p in sound)
    return {
        "ece": fitting.calibration_error(said, right),
        "brier": sum((p - y) ** 2 for p, y in zip(said, right, strict=True)) / len(said),
        "quality": kept / sum(r.large for r, _ in sound),
        "local": sum(p >= threshold for _, p in sound) / len(sound),
    }


def measured(requests: list[Asked], curve: list[Point], way: Way, *, worse: bool) -> dict[str, Any]:
    """Return the medians of all runs."""
    runs = []
    for seed in range(RUNS):
        draw = random.Random(seed)  # noqa: S311  reproducible, no secret
        served = another(requests, draw) if worse else requests
        runs.append(run(served, curve, way, draw))
    found = {name: median(each[name] for each in runs) for name in runs[0]}
    return found | {"taken": sum(each["taken"] for each in runs) / RUNS}


def main() -> None:
    """Measure, write and print."""
    rows = labels.read([Path(each) for each in os.environ["LABELS"].split(":")])
    if "ROWS" in os.environ:
        random.Random(1).shuffle(rows)  # noqa: S311  reproducible, no secret
        rows = rows[: int(os.environ["ROWS"])]
    requests, curve = asked(rows)
    lines = [
        f"{len(requests)} questions of subjects not trained on; medians of {RUNS} runs.\n",
        "| local model | judged | compared | taken | ECE | Brier | quality for 95 % | local |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found: list[dict[str, Any]] = []
    for name, compared, judged in product(MODELS, (0.0, COMPARED), JUDGED):
        row = measured(requests, curve, Way(judged, compared), worse=name != MODELS[0])
        found.append({"model": name, "judged": judged, "compared": compared} | row)
        lines.append(
            f"| {name} | {judged:,} | {compared:.0%} | {row['taken']:.0%} | {row['ece']:.3f} |"
            f" {row['brier']:.3f} | {row['quality']:.1%} | {row['local']:.1%} |"
        )
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "calibration.json").write_text(json.dumps(found, indent=2) + "\n")
    text = "\n".join(lines) + "\n"
    (OUT / "calibration.md").write_text(text)
    print(text)  # noqa: T201  a program for the terminal


if __name__ == "__main__":
    main()
