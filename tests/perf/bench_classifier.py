"""Quality, calibration and speed of the embedded classifier: `make bench-classifier LABELS=FILE`.

Writes build/bench/classifier.json and .md. Quality takes some minutes: the whole training, its
calibration and its quality curve are repeated with a quarter of the subjects left out, four times.
Without LABELS, only speed is measured.
"""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.prompt import Prompt
from hybrid_router.classify.training import evaluate, labels, measures

OUT = Path("build/bench")
SENTENCE = "The council met on Tuesday and agreed to keep the library open; 23 of 40 voted for it. "
SIZES = {"1 KB": 1_024, "4 KB": 4_096, "64 KB": 65_536, "400 KB (100k tokens)": 409_600}
ROUNDS = 300


def speed() -> dict[str, float]:
    """Return the median microseconds of judging a chat of one turn, by its size."""
    found = {}
    for name, size in SIZES.items():
        judge = EmbeddedClassifier().judge
        times = []
        for number in range(ROUNDS):
            text = f"Summarize this, number {number}: " + SENTENCE * (size // len(SENTENCE))
            messages = [{"role": "user", "content": text}]
            began = time.process_time_ns()
            judge(Prompt.from_messages(messages))
            times.append((time.process_time_ns() - began) / 1_000)
        found[name] = median(times)
    return found


def quality(paths: list[Path]) -> dict[str, Any]:
    """Return the figures on subjects never seen."""
    rows = labels.read(paths)
    held = evaluate.held_out(rows)
    ours = evaluate.figures("embedded", held.rows, held.probabilities)
    bins = measures.reliability(held.probabilities, [row.small for row in held.rows])
    return {
        "questions": len(rows),
        "figures": [asdict(each) for each in (*evaluate.baselines(rows), ours)],
        "reliability": [asdict(each) for each in bins],
        "quality_reached_for_0.95": held.quality_at_95,
        "intent_accuracy": evaluate.intents_by(rows),
    }


def main() -> None:
    """Measure, write and print."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[str, Any] = {"speed_us": speed(), "max_rss_kib": before}
    stated = os.environ.get("LABELS", "")
    if stated:
        found["quality"] = quality([Path(each) for each in stated.split(":")])
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "classifier.json").write_text(json.dumps(found, indent=2) + "\n")
    text = report(found)
    (OUT / "classifier.md").write_text(text)
    print(text)  # noqa: T201  a program for the terminal


def report(found: dict[str, Any]) -> str:
    """Return the figures as tables."""
    lines = ["| prompt | CPU time, median |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} \u00b5s |" for name, value in found["speed_us"].items()]
    if "quality" in found:
        lines += _quality(found["quality"])
    return "\n".join(lines) + "\n"


def _quality(found: dict[str, Any]) -> list[str]:
    lines = ["", "| score | AUC | APGR | ECE | local at 85 % right | at 95 % | at 90 % |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found["figures"]:
        shares = [f"{row[k]:.1%}" for k in ("share_at_85", "local_at_95", "local_at_90")]
        numbers = f"{row['auc']:.3f} | {row['apgr']:.3f} | {row['ece']:.3f}"
        lines.append(f"| {row['name']} | {numbers} | {' | '.join(shares)} |")
    reached = ", ".join(f"{each:.1%}" for each in found["quality_reached_for_0.95"])
    lines += ["", f"Quality reached for a target of 95 %, per group of unseen subjects: {reached}"]
    lines += ["", "| said | was right | share |", "|---|---|---|"]
    for each in found["reliability"]:
        lines.append(f"| {each['said']:.2f} | {each['was']:.2f} | {each['share']:.1%} |")
    for kind, groups in found["intent_accuracy"].items():
        accuracy = ", ".join(f"{name} {value:.0%}" for name, value in groups.items())
        lines += ["", f"Accuracy of intents on phrases held out, by {kind}: {accuracy}"]
    return lines


if __name__ == "__main__":
    main()
