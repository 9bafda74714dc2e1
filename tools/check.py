"""`make check`: every check, one line each; what failed is shown with how to mend it.

Run as `python -m tools.check [NAME...]`; without names, all. Exits 1 when a check failed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tools import repo

BIN = Path(".venv") / "bin"
PYTHON = str(BIN / "python")
SHELLCHECK = (
    str(BIN / "shellcheck"),
    "--external-sources",
    "--check-sourced",
    "--source-path=SCRIPTDIR",
    "--exclude=SC2034",  # one script does not use all that a file shared by several sets
)


@dataclass(frozen=True, slots=True)
class Check:
    """A command that exits 0 when all is well, and what to do when it does not."""

    name: str
    command: tuple[str, ...]
    mend: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a check ended."""

    check: Check
    passed: bool
    output: str
    seconds: float


def checks(scripts: Sequence[str]) -> tuple[Check, ...]:
    """Return all checks, the slow ones first; `scripts` are the shell scripts."""
    return (
        Check(
            "types",
            (str(BIN / "mypy"), "--no-error-summary"),
            "mend the types (config: pyproject.toml)",
        ),
        Check(
            "generated",
            (PYTHON, "-m", "hybrid_operator.api.generate", "--check"),
            "make generate, then commit",
        ),
        Check(
            "openapi",
            (PYTHON, "-m", "tools.openapi", "--check"),
            "python -m tools.openapi, then commit",
        ),
        Check("docs", (PYTHON, "-m", "tools.docs"), "mend the document, or what it describes"),
        Check(
            "layers",
            (str(BIN / "lint-imports"), "--no-logo"),
            "mend the import (contracts: pyproject.toml)",
        ),
        Check("scripts", (*SHELLCHECK, *scripts), "mend the script"),
        Check(
            "lint",
            (str(BIN / "ruff"), "check", "--quiet", "--output-format=concise", "."),
            "make fmt mends what can be mended",
        ),
        Check("format", (str(BIN / "ruff"), "format", "--check", "--quiet", "."), "make fmt"),
        Check("sizes", (PYTHON, "-m", "tools.limits"), "divide the function or the file"),
        Check("addresses", (PYTHON, "-m", "tools.addresses"), "take it out (and renew the secret)"),
    )


def run(check: Check) -> Outcome:
    """Run one check to its end."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            check.command,
            cwd=repo.ROOT,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        passed, output = done.returncode == 0, done.stdout
    except FileNotFoundError:
        passed, output = False, f"{check.command[0]} is not there; run: make setup\n"
    return Outcome(check, passed, output, time.monotonic() - started)


def report(outcome: Outcome) -> str:
    """Return one line for a passed check; for a failed one also its output and the remedy."""
    word = "ok" if outcome.passed else "FAILED"
    line = f"{outcome.check.name:<10} {word:<7} {outcome.seconds:5.1f} s"
    if outcome.passed:
        return line
    output = "".join(f"    {text}\n" for text in outcome.output.rstrip().splitlines())
    return f"{line}\n{output}    -> {outcome.check.mend}"


def main(names: Sequence[str]) -> int:
    """Run the named checks, or all, as many at a time as there are cores."""
    scripts = [str(p.relative_to(repo.ROOT)) for p in repo.files() if repo.is_script(p)]
    known = checks(scripts)
    unknown = set(names) - {check.name for check in known}
    if unknown:
        print(
            f"no check is called {', '.join(sorted(unknown))}; there are:", *(c.name for c in known)
        )
        return 2
    wanted = [check for check in known if not names or check.name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(run, check) for check in wanted]
        outcomes = []
        for future in as_completed(running):
            outcomes.append(future.result())
            print(report(outcomes[-1]), flush=True)
    failed = [outcome.check.name for outcome in outcomes if not outcome.passed]
    print(f"check: {len(outcomes) - len(failed)} ok, {len(failed)} failed", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
