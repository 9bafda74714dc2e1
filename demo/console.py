"""What the demo shows: steps with their times, tables, and the programs that it runs."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

LOGS = Path("build") / "demo"
INDENT = " " * 8


class DemoError(Exception):
    """The demo cannot go on; the message says what is wrong, where the log is and what to do."""


class Console:
    """Prints for people, with the time since the start in front of every step."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.log: Path | None = None
        """Where the step that runs keeps what its programs say."""

    def elapsed(self) -> str:
        """Return the time since the start as minutes and seconds."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes:02d}:{seconds:02d}"

    def say(self, text: str = "") -> None:
        """Print one line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print one line below a step."""
        self.say(INDENT + text)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell that something starts, and at its end how long it took."""
        self.say(f"\n[{self.elapsed()}] {title}")
        began = time.monotonic()
        yield
        self.note(f"done in {time.monotonic() - began:.0f} s")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns as wide as they need."""
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        self.say()
        for row in [head, ["-" * width for width in widths], *rows]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.say("  " + "  ".join(cells).rstrip())
        self.say()

    def run(self, name: str, command: Sequence[str], *, timeout: float, advice: str) -> str:
        """Run a long program: show what it tells, keep that in a log, return its stdout.

        Raises:
            DemoError: it failed or took longer than `timeout` seconds; ends with `advice`.
        """
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{name}.log"
        with tempfile.TemporaryFile("w+") as output, log.open("w") as kept:
            process = subprocess.Popen(  # noqa: S603  the demo runs the programs that it shows
                command, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace"
            )
            limit = Timer(timeout, process.terminate)
            limit.start()
            for line in process.stderr or ():
                kept.write(line)
                kept.flush()
                self.note(line.rstrip()[:160])
            code = process.wait()
            limit.cancel()
            output.seek(0)
            said = output.read()
        if code:
            raise DemoError(f"`{' '.join(command)}` ended with {code}. Log: {log}. {advice}")
        return said


def run(command: Sequence[str], *, stdin: str | None = None, timeout: float = 120) -> str:
    """Run a program and return what it wrote to stdout.

    Raises:
        DemoError: it failed or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603  the demo runs the programs that it shows
            command, check=False, capture_output=True, text=True, input=stdin, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"`{' '.join(command)}` took longer than {timeout:.0f} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise DemoError(f"`{' '.join(command)}` failed: {said[-2000:]}")
    return done.stdout
