"""`make test`: every part of the test suite, and the cluster that two of them need.

    python -m tools.test [unit] [compiled] [integration] [e2e]        (without names: all)

The cluster is started in the background while the unit tests run. It is left up when it was up
before, and taken down when this run started it; with CI set it is always taken down, except one
that KUBECONFIG names, which is not ours. `compiled` runs the router's unit tests again, on the
compiled modules that its image has (`tools/compile.py`). A part's `prepare` script runs before its
tests. The last line adds up the parts, from their JUnit files in build/test: `N passed, N failed, N
skipped`. Exits 0 only if every part ran tests, none failed, and none was skipped for another reason
than those in ALLOWED_SKIPS.
"""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tools import compile as compiling
from tools import repo
from tools.cluster import Cluster
from tools.junit import Tally, read_junit
from tools.processes import Clock, run

BUILD = Path("build") / "test"
CLUSTER_PARTS = ("integration", "e2e")
COMPILED = tuple(
    f"tests/unit/{name}"
    for name in ("router_state", "router_wire", "surfaces", "datapolicy", "classifier")
)
"""What the part `compiled` runs."""
NO_TESTS = ("cluster", "perf", "support")
ALLOWED_SKIPS = ("needs a GPU",)
"""How the reason of a skip may begin; whatever else is missing is a failure with a sentence."""


def folders(part: str, tests: Path) -> list[str]:
    """Return the folders of a part: for `unit` all that no other part has, so none is forgotten."""
    if part in CLUSTER_PARTS:
        return [f"tests/{part}"]
    if part == "compiled":
        return list(COMPILED)
    others = {*CLUSTER_PARTS, *NO_TESTS}
    found = sorted(path.parent.relative_to(tests).parts[0] for path in tests.rglob("*/test_*.py"))
    return [f"tests/{name}" for name in dict.fromkeys(found) if name not in others]


def pytest_command(part: str, paths: Sequence[str]) -> list[str]:
    """Return the command that runs a part and leaves its JUnit file."""
    command = [".venv/bin/pytest", "-q", "--durations=5", f"--junitxml={BUILD / part}.xml", *paths]
    if part == "compiled":
        return ["env", f"PYTHONPATH={compiling.OUT}", f"{compiling.EXPECTED}=1", *command]
    return ["tests/cluster/run", *command] if part in CLUSTER_PARTS else command


def run_part(part: str, clock: Clock) -> tuple[Tally, list[str]]:
    """Run one part; return what its tests came to, and sentences about what is wrong."""
    paths = folders(part, repo.ROOT / "tests")
    if not paths or not all(Path(path).is_dir() for path in paths):
        return Tally(failed=1), [f"{part}: there are no tests in tests/{part}"]
    prepare = Path("tests") / part / "prepare"
    if prepare.exists():
        # Outside of the cluster's network, from where nothing could be fetched.
        clock.say(f"{part}: {prepare}")
        if code := run([str(prepare)]):
            return Tally(failed=1), [f"{part}: not run, {prepare} exited with {code}"]
    clock.say(f"{part}: {' '.join(paths)}")
    code = run(pytest_command(part, paths))
    tally = read_junit(BUILD / f"{part}.xml")
    problems = [
        f"{part}: skipped, and not for an allowed reason: {skip}"
        for skip in tally.skips
        if not skip.reason.startswith(ALLOWED_SKIPS)
    ]
    if tally.total == 0:
        problems.append(f"{part}: no test ran (pytest exited with {code})")
        tally = Tally(failed=1)
    elif code and not tally.failed:
        problems.append(f"{part}: pytest exited with {code} although no test failed")
        tally = Tally(tally.passed, 1, tally.skips)
    elif tally.failed:
        problems.append(f"{part}: {tally.failed} failed")
    return tally, problems


def run_parts(parts: Sequence[str], clock: Clock) -> tuple[Tally, list[str]]:
    """Run the parts in order, with a cluster where one of them needs it."""
    total, problems = Tally(), list[str]()
    with Cluster(BUILD / "cluster-up.log", clock, needed=bool({*parts} & {*CLUSTER_PARTS})) as up:
        for part in parts:
            if part in CLUSTER_PARTS and not up.wait():
                tally, found = Tally(failed=1), [f"{part}: not run, there is no cluster"]
            else:
                tally, found = run_part(part, clock)
            clock.say(f"{part}: {tally}")
            total, problems = total + tally, problems + found
    if up.left_behind:
        total, problems = total + Tally(failed=1), [*problems, up.left_behind]
    return total, problems


def _end(*_: object) -> NoReturn:
    """Unwind once: make repeats the signal, and a second one would cut the cleaning up short."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit(128 + signal.SIGTERM)


def main(names: Sequence[str]) -> int:
    """Run the named parts, or all; print the sum last."""
    known = ("unit", "compiled", *CLUSTER_PARTS)
    unknown = sorted({*names} - {*known})
    if unknown:
        print(f"no part is called {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    signal.signal(signal.SIGTERM, _end)
    # A shell that starts us in the background ignores SIGINT for us, and for all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(repo.ROOT)
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    clock = Clock()
    try:
        total, problems = run_parts([part for part in known if not names or part in names], clock)
    except KeyboardInterrupt:
        clock.say("interrupted")
        return 128 + signal.SIGINT
    for problem in problems:
        clock.say(problem)
    clock.say("done")
    print(total, flush=True)
    return 1 if problems or total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
