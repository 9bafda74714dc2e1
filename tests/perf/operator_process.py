"""The operator that a benchmark measures, and what it says of itself."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import TYPE_CHECKING
from urllib.request import urlopen

from tests.perf.api_server import free_port

if TYPE_CHECKING:
    from tests.perf.api_server import ApiServer


class OperatorProcess:
    """`python -m hybrid_operator` against the bench's API server."""

    def __init__(self, server: ApiServer, log: Path) -> None:
        self.metrics_port = free_port()
        self._log = log
        environment = {
            **os.environ,
            "KUBECONFIG": str(server.kubeconfig),
            "HINF_ROUTER_IMAGE": "example.com/hybrid-router:bench",
            "HINF_WATCH_NAMESPACES": "default",
            "HINF_POD_NAMESPACE": "default",
        }
        ports = ("--health-port=0", f"--metrics-port={self.metrics_port}")
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._skip = out.tell()
            command = [sys.executable, "-m", "hybrid_operator", *ports]
            self.process: Popen[bytes] = Popen(command, env=environment, stdout=out, stderr=STDOUT)

    @property
    def leading(self) -> bool:
        """Whether it has the Lease."""
        return b"leading as" in self._log.read_bytes()[self._skip :]

    @property
    def current(self) -> int:
        """How many resources it has judged, since it leads, and found or made as they should be."""
        return int(self.metric('hinf_operator_resources{state="current"}'))

    def metric(self, name: str) -> float:
        """Return one of its own metrics; 0 while there is none."""
        return value(self.page(), name)

    def page(self) -> str:
        """Return its metrics; empty while it does not answer.

        With thousands of models it takes the operator a tenth of a second to write: ask seldom.
        """
        try:
            with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
                text: str = answer.read().decode()
        except OSError:
            return ""
        return text

    @property
    def cpu(self) -> float:
        """CPU time so far, in seconds."""
        return cpu_seconds(self.process.pid)

    def memory(self, name: str) -> float:
        """Return VmRSS or VmHWM in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else 0.0

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(30)


@dataclass(frozen=True)
class Looks:
    """What the autoscaling loop has counted."""

    count: int
    seconds: float
    buckets: tuple[float, ...]

    BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    @classmethod
    def of(cls, page: str) -> Looks:
        name = "hinf_operator_scaling_look_duration_seconds"
        return cls(
            int(value(page, f"{name}_count")),
            value(page, f"{name}_sum"),
            tuple(value(page, f'{name}_bucket{{le="{bound}"}}') for bound in cls.BOUNDS),
        )

    def __sub__(self, before: Looks) -> Looks:
        buckets = tuple(a - b for a, b in zip(self.buckets, before.buckets, strict=True))
        return Looks(self.count - before.count, self.seconds - before.seconds, buckets)

    @property
    def most(self) -> float:
        """The bound that all of them stay below, in seconds; infinite where none does."""
        met = (b for b, n in zip(self.BOUNDS, self.buckets, strict=True) if n >= self.count)
        return next(met, math.inf)


def value(page: str, name: str) -> float:
    """Return a metric of a page; 0 where it has none."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def writes(page: str) -> int:
    """Return how many writes an operator has sent by its page, Lease renewals aside."""
    counts = re.findall(r"^hinf_operator_writes_total\{.*\} (\S+)$", page, re.MULTILINE)
    return int(sum(map(float, counts)))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
