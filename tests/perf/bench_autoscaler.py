"""`make bench-autoscaler TRACES="a.csv b.csv" [QUICK=1]`: what scaling policies cost.

    TRACES="a.csv b.csv" python -m tests.perf.bench_autoscaler [--quick] [--step 5]

Two tables. The fluid one has the traces as they are, at ten times the volume and stretched 24
times, each at three prices of the API, against the exact optimum; beside it stand the best
schedule that knows all but when a burst begins (`reactive`), below which nothing is that waits for
work, and the best of our rules for each level (`best rules`), which no way of choosing among them
is below. The event one has the traces as they are, at ten and a hundred times the volume, and over
three days with a daily shape, at two prices, against the optimum's schedule replayed there and a
lower bound.

--quick (QUICK=1) leaves out ten and a hundred times in the event table. On Azure's halves it takes
about two minutes of CPU time, in full four; two processes share it. Without TRACES, made-up bursts
are replayed. Writes build/bench/autoscaler.json, .md and a plot for each table; what is done so far
is written as it goes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_operator.cli.simulate import document, run
from hybrid_operator.simulate import events, fluid, hindsight, reading, trace
from hybrid_operator.simulate.policies import POLICIES
from tests.perf import autoscaler_plot

OUT = Path("build/bench")
PRICES = ((0.05, 0.10), (0.15, 0.60), (2.50, 10.00))
STRETCH = 24.0
DAYS = 3
FLUID = ("as it is", "x10 volume", "stretched x24")
EVENTS = ("as it is", "3 days, daily shape", "x10 volume", "x100 volume")
QUICK = EVENTS[:2]
VOLUMES = {"x10 volume": 10, "x100 volume": 100}
BOUNDS = {"fluid": ("reactive", "best rules"), "events": ("lower bound",)}
"""What hindsight could reach, beside the policies."""
HEAVY = ("hybrid", "oracle", "hpa")
"""Policies that a hundred times the volume is replayed with, at the dear API: it takes minutes."""


class Cell(NamedTuple):
    """One row of a table."""

    trace: str
    variant: str
    input: float
    output: float
    model: str
    step: float

    @property
    def title(self) -> str:
        name = Path(self.trace).stem or "bursts"
        return f"{name}, {self.variant}, {self.input:.2f}/{self.output:.2f}"

    @property
    def names(self) -> tuple[str, ...]:
        return HEAVY if self.variant == "x100 volume" else tuple(POLICIES)


def cells(paths: list[str], model: str, given: argparse.Namespace) -> list[Cell]:
    """Return what is measured, the quickest first."""
    variants: tuple[str, ...] = QUICK if given.quick else EVENTS
    prices = list(PRICES[1:])
    if model == "fluid":
        variants, prices = FLUID, list(PRICES)
    return [
        Cell(path, variant, *each, model, given.step)
        for variant in variants
        for path in paths or [""]
        for each in (prices[-1:] if variant == "x100 volume" else prices)
    ]


def measure(cell: Cell) -> dict[str, dict[str, Any]]:
    found = reading.read(Path(cell.trace)) if cell.trace else trace.bursts(2.0)
    if cell.variant == "stretched x24":
        found = trace.stretched(found, STRETCH)
    elif cell.variant == "3 days, daily shape":
        found = trace.daily(trace.stretched(found, STRETCH), DAYS)
    prices = fluid.Prices(cell.input, cell.output)
    setting = fluid.Setting(prices, step=cell.step, volume=VOLUMES.get(cell.variant, 1))
    rows = {name: document(run(found, setting, name, cell.model)) for name in cell.names}
    if cell.model == "fluid":
        load = fluid.load(found, setting)
        bounds = [fluid.reactive(load), hindsight.best_rules(load)]
    else:
        bounds = [events.lower_bound(found, replace(setting, volume=1)) * setting.volume]
    names = BOUNDS[cell.model]
    return rows | {name: {"total_usd": usd} for name, usd in zip(names, bounds, strict=True)}


def summary(model: str, rows: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return, by policy, how its cost compares with the oracle's, and what became of requests.

    Of the cells that all policies were replayed on.
    """
    found = {}
    having = [row for row in rows if all(name in row for name in POLICIES)]
    for name in (*POLICIES, *BOUNDS[model]):
        ratios = [row[name]["total_usd"] / row["oracle"]["total_usd"] for row in having]
        found[name] = {
            "geometric_mean": math.exp(sum(map(math.log, ratios)) / len(ratios)),
            "worst": max(ratios),
            "total_usd": sum(row[name]["total_usd"] for row in having),
        }
        if name in POLICIES:
            found[name]["slo_attainment_worst"] = min(row[name]["slo_attainment"] for row in having)
            for each in ("gpu_hours", "reversals", "delayed", "lost"):
                found[name][each] = sum(row[name][each] for row in having)
    return found


def page(results: Mapping[str, Any]) -> str:
    lines = [f"Command: `{results['command']}`", ""]
    for model in ("fluid", "events"):
        if model in results:
            lines += [f"## {model}, {results[model]['seconds']:.0f} s", ""]
            lines += _summary_table(model, results[model]["summary"])
            lines += _cell_table(model, results[model]["cells"])
            if model == "events":
                lines += ["Share of requests within both objectives:", ""]
                lines += _attainment_table(results[model]["cells"])
    return "\n".join(lines)


def _summary_table(model: str, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    head = ["policy", "geometric mean", "worst", "USD", "GPU-hours", "reversals"]
    head += ["least SLO", "delayed", "lost"] if model == "events" else []
    rows = []
    for name, each in found.items():
        values = [f"{each['geometric_mean']:.3f}", f"{each['worst']:.2f}"]
        values += [f"{each['total_usd']:.1f}"]
        if name in POLICIES:
            values += [f"{each['gpu_hours']:.1f}", f"{each['reversals']}"]
            if model == "events":
                values += [f"{each['slo_attainment_worst']:.2%}"]
                values += [f"{each['delayed']}", f"{each['lost']}"]
        rows.append([name, *values, *[""] * (len(head) - len(values) - 1)])
    return _table(head, rows)


def _cell_table(model: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names, rows = [*POLICIES, *BOUNDS[model]], []
    for cell, row in found.items():
        best = row["oracle"]["total_usd"]
        ratios = [f"{row[name]['total_usd'] / best:.2f}" if name in row else "" for name in names]
        rows.append([cell, *ratios])
    return _table(["cell", *names], rows)


def _attainment_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [
        [cell, *(f"{row[name]['slo_attainment']:.2%}" if name in row else "" for name in POLICIES)]
        for cell, row in found.items()
    ]
    return _table(["cell", *POLICIES], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def write(results: Mapping[str, Any]) -> None:
    """Write what there is so far: the events take their time."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "autoscaler.json").write_text(json.dumps(results, indent=2) + "\n")
    (OUT / "autoscaler.md").write_text(page(results))
    for model in ("fluid", "events"):
        if model in results:
            plot = autoscaler_plot.svg(results[model]["summary"], model)
            (OUT / f"autoscaler-{model}.svg").write_text(plot)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    quick = bool(os.environ.get("QUICK"))
    parser.add_argument("--quick", action="store_true", default=quick, help="less of the events")
    parser.add_argument("--step", type=float, default=5.0, help="seconds, of the fluid model")
    parser.add_argument("--models", nargs="+", default=["fluid", "events"], metavar="MODEL")
    given = parser.parse_args()
    paths = os.environ.get("TRACES", "").split()
    named = " ".join(Path(each).name for each in paths)
    command = f'make bench-autoscaler TRACES="{named}"' + (" QUICK=1" if given.quick else "")
    results: dict[str, Any] = {"command": command, "step": given.step}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for model in given.models:
            began, rows, wanted = time.monotonic(), {}, cells(paths, model, given)
            for cell, row in zip(wanted, pool.map(measure, wanted), strict=True):
                rows[cell.title] = row
                took = time.monotonic() - began
                sys.stderr.write(f"{model}: {len(rows)}/{len(wanted)} {cell.title}, {took:.0f} s\n")
                results[model] = {"seconds": took, "summary": summary(model, [*rows.values()])}
                results[model]["cells"] = rows
                write(results)
    sys.stdout.write(page(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
