"""`make bench-router`: this router beside vllm-router, smg and LiteLLM's proxy, in one run.

The gateway has a core to itself, the load and the upstream (tests/perf/load) the other one. CPU is
what the operating system accounts to the gateway's processes. Gateways are measured in turn, round
by round; figures are medians. Rows that are measured anew replace theirs in build/bench, the others
stay, so that a long measurement can be made in parts.

    make bench-router                                   everything, about 25 min
    .venv/bin/python -m tests.perf.bench_router --rows chat-1k,streams
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.perf.router import report
from tests.perf.router.gateways import CACHE, GATEWAYS, ROOT
from tests.perf.router.rows import ROWS, Plan
from tests.support.ending import in_order

OUT = ROOT / "build" / "bench"
ROUNDS = 5
CORES = 2


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    p = argparse.ArgumentParser(
        "bench_router", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--rows", default=",".join(ROWS), help="comma-separated (default: all)")
    p.add_argument("--gateways", default=",".join(GATEWAYS), help="comma-separated (default: all)")
    p.add_argument("--rounds", type=int, default=ROUNDS, help="(default %(default)s)")
    p.add_argument("--seconds", type=float, default=2.0, help="of each (default %(default)s)")
    p.add_argument(
        "--requests", type=int, default=200_000, help="of the row memory (default %(default)s)"
    )
    p.add_argument("--idle", type=int, default=10_000, help="connections (default %(default)s)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write build/bench/router.json and .md, and show the table."""
    p = parser()
    options = p.parse_args(arguments)
    names, rows = tuple(options.gateways.split(",")), options.rows.split(",")
    for word, known in ((name, GATEWAYS) for name in names):
        if word not in known:
            p.error(f"no gateway is called {word}; there are: {', '.join(known)}")
    for word in rows:
        if word not in ROWS:
            p.error(f"no row is called {word}; there are: {', '.join(ROWS)}")
    if (os.cpu_count() or 1) < CORES:
        p.error("two cores are needed: one for the gateway, one for the load")
    plan = Plan(
        CACHE / "router-bench", options.rounds, options.seconds, options.requests, options.idle,
        names,
    )  # fmt: skip
    kept = _kept()
    for name in rows:
        samples = ROWS[name].run(plan)
        kept["rows"][name] = {"figures": report.figures(name, samples), "samples": samples}
        kept["about"] = _about(arguments, options.rounds)
        _write(kept)
    sys.stdout.write((OUT / "router.md").read_text(encoding="utf-8"))
    return 0


def _kept() -> dict[str, Any]:
    file = OUT / "router.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"rows": {}}
    return found


def _write(kept: dict[str, Any]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    figures = {name: kept["rows"][name]["figures"] for name in ROWS if name in kept["rows"]}
    kept["targets"] = report.judged(figures)
    (OUT / "router.json").write_text(json.dumps(kept, indent=2) + "\n")
    without = {name: report.causes(kept["rows"][name]["samples"]) for name in figures}
    (OUT / "router.md").write_text(report.markdown(figures, kept["about"], without))


def _about(arguments: Sequence[str] | None, rounds: int) -> dict[str, Any]:
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({_cpu()}), Linux {platform.release()}",
        "command": " ".join(["python -m tests.perf.bench_router", *words]),
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(in_order(main))
