"""The cluster of a test run: started beside it, awaited with progress, left as it was found."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.processes import Clock, run, start, stop

SCRIPTS = Path("tests") / "cluster"
PROGRESS_S = 30
"""Seconds between two lines about a cluster that is not ready."""
LIMIT_S = 30 * 60
"""Seconds after which a cluster will not become ready: a cold build takes 10 to 15 minutes."""
TAIL_LINES = 40


class Cluster:
    """Runs `tests/cluster/up` in the background on entry, and `down` on exit if that is due."""

    def __init__(self, log: Path, clock: Clock, *, needed: bool) -> None:
        self.left_behind = ""
        """A sentence, if `down` failed."""
        self._log = log
        self._clock = clock
        self._needed = needed
        self._take_down = False
        self._ready: bool | None = None
        self._started = time.monotonic()
        self._starting: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._needed:
            self._begin()
        return self

    def _begin(self) -> None:
        given = bool(os.environ.get("KUBECONFIG"))
        was_up = not given and _is_up(self._log)
        self._take_down = not given and (not was_up or bool(os.environ.get("CI")))
        state = "KUBECONFIG names it" if given else "it is up" if was_up else "starting"
        self._clock.say(f"cluster: {state}; log: {self._log}")
        self._starting = start([str(SCRIPTS / "up")], self._log)

    def wait(self) -> bool:
        """Wait for the cluster, telling how it goes; False if it did not come up."""
        if self._ready is None and self._starting is not None:
            self._ready = self._wait(self._starting)
            if not self._ready:
                self._clock.say(f"cluster: not ready; the end of {self._log}:")
                print(*_tail(self._log, TAIL_LINES), sep="\n", flush=True)
        return bool(self._ready)

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        while time.monotonic() - self._started < LIMIT_S:
            try:
                code = process.wait(PROGRESS_S)
            except subprocess.TimeoutExpired:
                self._clock.say("cluster: " + "".join(_tail(self._log, 1)))
                continue
            if code == 0:
                self._clock.say("cluster: ready")
            return code == 0
        stop(process)
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _uninterrupted(self._clock):
            if self._starting is not None:
                stop(self._starting)
            if self._take_down:
                self._clock.say("cluster: taking it down")
                if code := run([str(SCRIPTS / "down")]):
                    self.left_behind = f"cluster: {SCRIPTS / 'down'} exited with {code}"


@contextmanager
def _uninterrupted(clock: Clock) -> Iterator[None]:
    """Put off being ended: a cluster half taken down is worse than waiting.

    The signals get a handler rather than being ignored, because programs inherit what is ignored.
    """

    def wait(*_: object) -> None:
        clock.say("cluster: wait, it is being taken down")

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_up(log: Path) -> bool:
    process = start([str(SCRIPTS / "run"), "true"], log)
    try:
        return process.wait() == 0
    finally:
        stop(process)


def _tail(log: Path, lines: int) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-lines:]
