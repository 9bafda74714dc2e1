"""`make bench-autoscaler TRACES="a.csv b.csv" [MODELS=fluid] [STEP=1]`: what scaling policies cost.

Without TRACES, made-up bursts are replayed. Writes build/bench/autoscaler.json and .md, and plots
beside them.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_operator.cli.simulate import document, run
from hybrid_operator.simulate import fluid, trace
from hybrid_operator.simulate.policies import POLICIES
from tests.perf import autoscaler_plot

OUT = Path("build/bench")
PRICES = ((0.05, 0.10), (0.15, 0.60), (2.50, 10.00))
VARIANTS = {"as it is": (1.0, 1), "x10 volume": (1.0, 10), "stretched x24": (24.0, 1)}
MODELS = tuple(os.environ.get("MODELS", "fluid events").split())
STEP = float(os.environ.get("STEP", "1"))


class Cell(NamedTuple):
    """One row of a table."""

    trace: str
    variant: str
    input: float
    output: float
    model: str

    @property
    def title(self) -> str:
        return f"{self.trace}, {self.variant}, {self.input:.2f}/{self.output:.2f}"


def cells(paths: list[str], model: str) -> Iterator[Cell]:
    for path in paths or [""]:
        for variant in VARIANTS:
            for prices in PRICES:
                yield Cell(path, variant, *prices, model)


def measure(cell: Cell) -> dict[str, dict[str, Any]]:
    stretch, volume = VARIANTS[cell.variant]
    found = trace.read(Path(cell.trace)) if cell.trace else trace.bursts(2.0)
    found = trace.stretched(found, stretch)
    setting = fluid.Setting(fluid.Prices(cell.input, cell.output), step=STEP, volume=volume)
    return {name: document(run(found, setting, name, cell.model)) for name in POLICIES}


def summary(rows: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return, by policy, how its cost compares with the oracle's, and what became of requests."""
    found = {}
    for name in POLICIES:
        ratios = [row[name]["total_usd"] / row["oracle"]["total_usd"] for row in rows]
        found[name] = {
            "geometric_mean": math.exp(sum(map(math.log, ratios)) / len(ratios)),
            "worst": max(ratios),
            "slo_attainment_worst": min(row[name]["slo_attainment"] for row in rows),
            "lost": sum(row[name]["lost"] for row in rows),
            "gpu_hours": sum(row[name]["gpu_hours"] for row in rows),
            "reversals": sum(row[name]["reversals"] for row in rows),
        }
    return found


def page(results: dict[str, Any]) -> str:
    lines = [f"Command: `{results['command']}`", ""]
    for model in MODELS:
        if model not in results:
            continue
        head = ("policy", "geometric mean", "worst", "least SLO", "lost", "GPU-hours", "reversals")
        lines += [f"## {model}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name, each in results[model]["summary"].items():
            values = (
                f"{each['geometric_mean']:.3f}",
                f"{each['worst']:.2f}",
                f"{each['slo_attainment_worst']:.2%}",
                f"{each['lost']}",
                f"{each['gpu_hours']:.1f}",
                f"{each['reversals']}",
            )
            lines.append(f"| {name} | {' | '.join(values)} |")
        lines += ["", "| cell | " + " | ".join(POLICIES) + " |", "|---" * (len(POLICIES) + 1) + "|"]
        for cell, row in results[model]["cells"].items():
            best = row["oracle"]["total_usd"]
            ratios = [f"{row[name]['total_usd'] / best:.2f}" for name in POLICIES]
            lines.append(f"| {cell} | {' | '.join(ratios)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    paths = os.environ.get("TRACES", "").split()
    named = " ".join(Path(each).name for each in paths)
    results: dict[str, Any] = {"command": f'make bench-autoscaler TRACES="{named}"', "step": STEP}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for model in MODELS:
            wanted = list(cells(paths, model))
            rows = []
            for cell, row in zip(wanted, pool.map(measure, wanted), strict=True):
                rows.append(row)
                sys.stderr.write(f"{model}: {len(rows)}/{len(wanted)} {cell.title}\n")
            titles = [each._replace(trace=Path(each.trace).stem).title for each in wanted]
            results[model] = {
                "summary": summary(rows),
                "cells": dict(zip(titles, rows, strict=True)),
            }
            write(results)
    sys.stdout.write(page(results))
    return 0


def write(results: dict[str, Any]) -> None:
    """Write what there is so far: the events take their time."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "autoscaler.json").write_text(json.dumps(results, indent=2) + "\n")
    (OUT / "autoscaler.md").write_text(page(results))
    first = results[next(each for each in MODELS if each in results)]
    (OUT / "autoscaler.svg").write_text(autoscaler_plot.svg(first["summary"]))


if __name__ == "__main__":
    sys.exit(main())
