"""Quality, calibration and speed of the embedded classifier: `make bench-classifier LABELS=FILE`.

Writes build/bench/classifier.json and .md, and the plots into docs/classifier.svg. Quality takes
some minutes: the whole training, its calibration and its quality curve are repeated with a quarter
of the subjects left out, four times. Without LABELS, only cost and robustness are measured; with
PYTHONPATH=build/compiled, of the code as the image has it.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.classify import words
from hybrid_router.classify.embedded import REMEMBERED, EmbeddedClassifier
from hybrid_router.classify.parameters import FILE, shipped
from hybrid_router.classify.prompt import Prompt
from hybrid_router.classify.training import evaluate, labels, measures
from hybrid_router.datapolicy.gate import Gate
from hybrid_router.table import DataPolicy, Policy
from tests.perf import classifier_plot
from tests.perf.router.rows import DETECTORS
from tests.support.reviewed import BESIDE, CONVERSATIONS, HARD, PROMPTS, TOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT = Path("build/bench")
SENTENCE = "The council met on Tuesday and agreed to keep the library open; 23 of 40 voted for it. "
SIZES = {"1 KB": 1_024, "4 KB": 4_096, "64 KB": 65_536, "400 KB (100k tokens)": 409_600}
AIMS_US = {"1 KB": 150, "64 KB": 300}
"""Of judging and the data policy together, on one core."""
ROUNDS = 300
PLOT = Path("docs/classifier.svg")


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


def whole() -> dict[str, float]:
    """Return the same of a whole request: read, scanned by every detector, and judged."""
    gate = Gate(msgspec.convert(DETECTORS, DataPolicy))
    found = {}
    for name in ("1 KB", "64 KB"):
        judge = EmbeddedClassifier().judge
        times = []
        for number in range(ROUNDS):
            text = f"Summarize this, number {number}: " + SENTENCE * (SIZES[name] // len(SENTENCE))
            body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
            began = time.process_time_ns()
            read: Any = gate.judge(body).taken()
            judge(Prompt.from_messages(read["messages"]))
            times.append((time.process_time_ns() - began) / 1_000)
        found[name] = median(times)
    return found


def memory() -> float:
    """Return the MiB that the model and a full memory of readings allocate."""
    shipped.cache_clear()
    tracemalloc.start()
    judge = EmbeddedClassifier().judge
    for number in range(REMEMBERED):
        easy = {"role": "user", "content": f"What is the capital of country number {number}?"}
        judge(Prompt.from_messages([easy, {"role": "user", "content": "And of the next one?"}]))
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return allocated / 2**20


def steering(phrases: Sequence[str]) -> list[dict[str, Any]]:
    """Return, by phrase, how many hard prompts it makes local before and after them."""
    judge, threshold = EmbeddedClassifier().judge, Policy().threshold
    found = []
    for phrase in phrases:
        made, most = [0, 0], 0.0
        for text in HARD:
            alone = judge(Prompt.from_text(text)).confidence or 0.0
            for place, steered in enumerate((f"{phrase} {text}", f"{text} {phrase}")):
                confidence = judge(Prompt.from_text(steered)).confidence or 0.0
                made[place] += confidence >= threshold
                most = max(most, confidence - alone)
        found.append(
            {"phrase": phrase, "of": len(HARD), "made_local": made, "most_gained": round(most, 2)}
        )
    return found


def agreement() -> dict[str, int]:
    """Return how the reviewed prompts are decided against a person's judgement."""
    rows = [(row.side, row.intent) for row in PROMPTS]
    rows += [(row["decided"], row["intent"]) for row in CONVERSATIONS]
    return {
        "reviewed": len(rows),
        "sent_to_the_api_needlessly": sum(side == "api*" for side, _ in rows),
        "kept_local_wrongly": sum(side == "local*" for side, _ in rows),
        "other_intent": sum("(" in intent for _, intent in rows),
    }


def quality(paths: list[Path]) -> dict[str, Any]:
    """Return the figures on subjects never seen, and draw them."""
    rows = labels.read(paths)
    held = evaluate.held_out(rows)
    scores = evaluate.baselines(rows)
    parts = evaluate.scores_in_parts(rows)
    ours = evaluate.figures("embedded", held.rows, held.probabilities)
    bins = measures.reliability(held.probabilities, [row.small for row in held.rows])
    figures = [evaluate.figures(name, rows, each) for name, each in scores.items()]
    figures += [ours, evaluate.figures("embedded, 13 parts", rows, parts)]
    reliability = [asdict(each) for each in bins]
    curves = {name: evaluate.plotted(rows, scores[name]) for name in ("random", evaluate.ORACLE)}
    curves = {"embedded": evaluate.plotted(held.rows, held.probabilities), **curves}
    PLOT.write_text(classifier_plot.svg(reliability, curves))
    return {
        "questions": len(rows),
        "figures": [asdict(each) for each in figures],
        "intervals": {
            "embedded": evaluate.intervals(held.rows, held.probabilities),
            "embedded, 13 parts": evaluate.intervals(rows, parts),
            evaluate.ORACLE: evaluate.intervals(rows, scores[evaluate.ORACLE]),
        },
        "reliability": reliability,
        "quality_reached_for_0.95": held.quality_at_95,
        "quality_reached_for_0.95_in_all": held.pooled_at_95,
        "intent_accuracy": evaluate.intents_by(rows),
    }


def main() -> None:
    """Measure, write and print."""
    found: dict[str, Any] = {
        "compiled": words.__file__.endswith(".so"),
        "speed_us": speed(),
        "whole_us": whole(),
        "memory_mib": memory(),
        "model_bytes": len(
            resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes()
        ),
        "steering": steering(TOLD),
        "beside": steering(BESIDE),
        "agreement": agreement(),
    }
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
    form = "compiled, as in the image" if found["compiled"] else "interpreted"
    lines = [
        f"| prompt | CPU time, median, {form} | with the data policy | aim |",
        "|---|---|---|---|",
    ]
    for name, value in found["speed_us"].items():
        both = found["whole_us"].get(name)
        beside = f"{both:.0f} \u00b5s | {AIMS_US[name]} \u00b5s" if both else " |"
        lines.append(f"| {name} | {value:.0f} \u00b5s | {beside} |")
    size = found["model_bytes"] / 1e6
    lines += ["", f"Model file {size:.2f} MB; memory {found['memory_mib']:.1f} MiB."]
    lines += ["", f"agreement: {found['agreement']}", ""]
    lines += ["| beside a hard prompt | before it | after it | most gained |", "|---|---|---|---|"]
    for row in [*found["steering"], *found["beside"]]:
        before, after = row["made_local"]
        where = f"{before} of {row['of']} | {after} of {row['of']}"
        lines.append(f"| {row['phrase']} | {where} | {row['most_gained']} |")
    if "quality" in found:
        lines += _quality(found["quality"])
    return "\n".join(lines) + "\n"


def _quality(found: dict[str, Any]) -> list[str]:
    lines = [
        "",
        "| score | AUC | APGR | ECE | largest 85 % right | P >= 0.85 | at 95 % | at 90 % |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in found["figures"]:
        shares = [f"{row[k]:.1%}" for k in ("share_at_85", "said_85", "local_at_95", "local_at_90")]
        numbers = f"{row['auc']:.3f} | {row['apgr']:.3f} | {row['ece']:.3f}"
        lines.append(f"| {row['name']} | {numbers} | {' | '.join(shares)} |")
    for name, each in found["intervals"].items():
        stated = ", ".join(f"{key} {low:.3f} to {high:.3f}" for key, (low, high) in each.items())
        lines += ["", f"{name}, 90 % of resampled subjects: {stated}"]
    reached = ", ".join(f"{each:.1%}" for each in found["quality_reached_for_0.95"])
    lines += ["", f"Quality reached for a target of 95 %, per group of unseen subjects: {reached}"]
    lines.append(f"Over all groups: {found['quality_reached_for_0.95_in_all']:.1%}")
    lines += ["", "| said | was right | share |", "|---|---|---|"]
    for each in found["reliability"]:
        lines.append(f"| {each['said']:.2f} | {each['was']:.2f} | {each['share']:.1%} |")
    for kind, groups in found["intent_accuracy"].items():
        accuracy = ", ".join(f"{name} {value:.0%}" for name, value in groups.items())
        lines += ["", f"Accuracy of intents on phrases held out, by {kind}: {accuracy}"]
    return lines


if __name__ == "__main__":
    main()
