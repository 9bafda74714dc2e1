"""Starting programs, and ending every one that was started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 15
"""Seconds that a program gets to end after SIGINT, and again after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Says what happens, with the time since the start."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print a line that begins with minutes and seconds."""
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        print(f"[{minutes:02}:{seconds:02}] {text}", flush=True)


def start(command: Sequence[str], log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, without input; its output goes to `log`."""
    sys.stdout.flush()
    if log is None:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and every process of its group: politely, then firmly.

    One that has ended by itself is left alone, with what it started to last.
    """
    if process.poll() is not None:
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if not _signal_group(process.pid, number):
            return
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            process.poll()
            if not _signal_group(process.pid, 0):
                return
            time.sleep(0.05)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False if nobody is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def run(command: Sequence[str]) -> int:
    """Run a program to its end and return its exit status; if we are interrupted, end it."""
    process = start(command)
    try:
        return process.wait()
    finally:
        stop(process)
