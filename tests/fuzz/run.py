"""`make fuzz`: bytes that nobody thought of, for some minutes.

    python -m tests.fuzz.run [--minutes 5] [--only chat,table]

Half of the time hypothesis draws anew, and many times more than in `make test`, what the property
tests of wire code take; the other half atheris (coverage-guided, libFuzzer) mutates bytes for the
targets in tests/fuzz/targets.py. What it has learnt is kept in build/fuzz. A finding is shown with
its bytes: make it a regression test, then mend it. Exits 1 when there was one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.perf.router.gateways import CACHE
from tests.support.ending import in_order
from tests.support.fuzzing import FACTOR

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
TESTS = (
    "tests/unit/router_wire/test_fuzz.py",
    "tests/unit/surfaces/test_fuzz.py",
    "tests/unit/surfaces/test_held_back.py",
)
TIMES_MORE = 5
"""Examples of one round, against `make test`; every round draws others."""
ROUND_SECONDS = 600
LONGEST_INPUT = 4096
MEMORY_MIB = 1024


def drawn(seconds: float) -> list[str]:
    """Run the property tests round after round; return what failed."""
    end = time.monotonic() + seconds
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        rounds += 1
        _say(f"hypothesis: round {rounds}")
        seed = str(int.from_bytes(os.urandom(4), "little"))
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-x", "--timeout", str(ROUND_SECONDS),
                "--hypothesis-seed", seed, *TESTS,
            ],
            cwd=ROOT, env={**os.environ, FACTOR: str(TIMES_MORE)}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            sys.stdout.write(done.stdout)
            return [f"hypothesis, with --hypothesis-seed {seed}"]
    return []


def guided(names: list[str], seconds: float) -> list[str]:
    """Run each target under atheris for its share of the time; return what failed."""
    path = os.pathsep.join((str(ROOT), str(_atheris())))
    KEPT.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        share = max(1, round(seconds / len(names)))
        _say(f"atheris: {name}, {share} s")
        done = subprocess.run(
            [
                sys.executable, "-m", "tests.fuzz.guided", name, f"-max_total_time={share}",
                f"-max_len={LONGEST_INPUT}", f"-rss_limit_mb={MEMORY_MIB}", "-timeout=20",
                f"-artifact_prefix={name}-",
            ],
            cwd=KEPT, env={**os.environ, "PYTHONPATH": path}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        runs = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
        _say(f"atheris: {name}: {runs[0] if runs else f'ended with {done.returncode}'}")
        if done.returncode:
            sys.stdout.write(done.stdout[-4000:] + done.stderr[-4000:])
            failed.append(f"atheris, {name}: the bytes are in {KEPT.relative_to(ROOT)}/{name}-*")
    return failed


def _atheris() -> Path:
    """Return a folder with atheris; it is installed the first time (35 MB)."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = CACHE / f"atheris-{version}"
    if not (folder / "complete").exists():
        _say("installing atheris (once)")
        subprocess.run(
            [
                str(ROOT / ".venv" / "bin" / "uv"), "pip", "install", "--quiet", "--target",
                str(folder), "--python", sys.executable, "--only-binary=:all:", "atheris>=3",
            ],
            check=True,
        )  # fmt: skip
        (folder / "complete").touch()
    return folder


def _say(text: str) -> None:
    sys.stderr.write(f"fuzz: {text}\n")


def main() -> int:
    """Run the command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--minutes", type=float, default=5.0, help="in all (default %(default)s)")
    p.add_argument("--only", default=",".join(TARGETS), help="targets of atheris (default: all)")
    options = p.parse_args()
    half = options.minutes * 30
    names = options.only.split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        p.error(f"no target {unknown[0]}: there are {', '.join(TARGETS)}")
    failed = [*drawn(half), *guided(names, half)]
    for each in failed:
        _say(f"FAILED: {each}")
    if not failed:
        _say("nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(in_order(main))
