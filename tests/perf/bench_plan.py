"""`make bench-plan`: how long `hinf plan` takes from start to answer.

The command is started anew for every run, as a person starts it, in turn with Python alone and with
the libraries that it stands on alone; medians of 15 runs each. Where the system has a Python of the
same version, `hinf plan` is started by that one, too: distributions, and the images, have it
compiled with profile-guided optimisation, which pyenv leaves out unless it is asked for.

    make bench-plan                                                   about 20 s
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

OUT = Path("build/bench")
ROOT = Path(__file__).parents[2]
RUNS = 15
EXAMPLE = "examples/hybridinference.yaml"
BIN = Path(sys.executable).parent
CASES = {
    "python alone": [sys.executable, "-c", "pass"],
    "its libraries alone": [
        sys.executable,
        "-c",
        "import click, msgspec, yaml",
    ],
    "hinf --help": [str(BIN / "hinf"), "--help"],
    "hinf plan": [str(BIN / "hinf"), "plan", "-f", EXAMPLE],
    "hinf plan -o json": [str(BIN / "hinf"), "plan", "-f", EXAMPLE, "-o", "json"],
}
"""What is started, by name. The libraries' time is the floor that no code of ours can undercut."""
SYSTEM = Path("/usr/bin") / f"python3.{sys.version_info.minor}"
if SYSTEM.exists():
    start = "import sys; from hybrid_operator.cli.main import main; sys.exit(main())"
    CASES["hinf plan, the system's Python"] = [
        *(str(SYSTEM), "-c", start),
        *("plan", "-f", EXAMPLE),
    ]


def seconds(command: list[str]) -> float:
    """Start `command` and return the time until it ended."""
    env = dict(os.environ)
    if command[0] == str(SYSTEM):
        env["PYTHONPATH"] = f"{sysconfig.get_path('purelib')}:operator:router"
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def measure(runs: int) -> dict[str, list[float]]:
    """Return the times of every case, taken in turn, after one run of each that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for turn in range(runs + 1):
        for name, command in CASES.items():
            took = seconds(command)
            if turn:
                found[name].append(took)
    return found


def main() -> int:
    """Measure, print the table, and write it."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "operator", "router"], check=True)
    times = measure(RUNS)
    rows = {name: round(statistics.median(each) * 1000, 1) for name, each in times.items()}
    lines = [
        "| started | median ms | fastest | slowest |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{name}` | {rows[name]:.0f} | {min(each) * 1000:.0f} | {max(each) * 1000:.0f} |"
            for name, each in times.items()
        ),
    ]
    page = "\n".join(lines) + f"\n\n{RUNS} runs each, in turn. {os.cpu_count()} CPUs, "
    page += f"{platform.python_implementation()} {platform.python_version()}.\n"
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "plan.md").write_text(page, encoding="utf-8")
    (OUT / "plan.json").write_text(json.dumps({"runs": RUNS, "median_ms": rows}, indent=2) + "\n")
    sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
