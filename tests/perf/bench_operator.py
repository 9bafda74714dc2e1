"""`make bench-operator`: what an operator of many resources costs, and how soon it reacts.

    python -m tests.perf.bench_operator [--resources N] [--changes N] [--quiet SECONDS]

A real API server and etcd, a real operator process, N resources with two models, a provider and two
routers each. `tests.perf.fleet` stands in for kubelets and controllers, so nothing but the operator
is measured; all of it shares this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import httpx2 as httpx

from hybrid_operator.kube.client import Kube
from hybrid_operator.kube.errors import AlreadyExists
from hybrid_operator.kube.kinds import RESOURCE
from tests.perf import fleet
from tests.perf.api_server import ApiServer, free_port
from tests.perf.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from hybrid_operator.kube.kinds import Kind

from subprocess import STDOUT, Popen

OUT = Path("build") / "bench"
CREATING = 16
AFTER_RESTART_SECONDS = 30.0
GOOD = {"Degraded": "False", "Progressing": "False", "UpdateAvailable": "False"}
LIMIT_SECONDS = 900.0


@dataclass
class Figures:
    """What was measured."""

    resources: int
    objects: int = 0
    creation_s: float = 0.0
    creation_cpu_s: float = 0.0
    creation_writes: int = 0
    restart_leading_s: float = 0.0
    restart_looked_at_all_s: float = 0.0
    restart_cpu_s: float = 0.0
    restart_writes: int = 0
    restart_written: dict[str, int] = field(default_factory=dict)
    steady_s: float = 0.0
    steady_writes: int = 0
    steady_cpu_percent: float = 0.0
    steady_scrapes_per_s: float = 0.0
    rss_mb: float = 0.0
    peak_rss_mb: float = 0.0
    reaction_p50_s: float = 0.0
    reaction_p99_s: float = 0.0
    reaction_max_s: float = 0.0
    changes: int = 0
    machine: str = ""


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
    def reconciles(self) -> int:
        """How many reconciliations it has done."""
        try:
            with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        counts = re.findall(r"^hinf_operator_reconciles_total\{.*\} (\S+)$", text, re.MULTILINE)
        return int(sum(map(float, counts)))

    @property
    def cpu(self) -> float:
        """CPU time so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> float:
        """Return VmRSS or VmHWM in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else 0.0

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(30)


class Bench:
    """One run."""

    def __init__(self, server: ApiServer, kube: Kube, options: argparse.Namespace) -> None:
        self._server = server
        self._kube = kube
        self._options = options
        self._fleet = Fleet(kube, free_port(), self._seen)
        self._good: set[str] = set()
        self._tables: dict[str, asyncio.Event] = {}
        self.figures = Figures(options.resources, machine=_machine())

    async def run(self) -> Figures:
        """Measure everything."""
        tasks = asyncio.ensure_future(self._fleet.run())
        log = OUT / "operator.log"
        log.unlink(missing_ok=True)
        operator = OperatorProcess(self._server, log)
        try:
            await _until(lambda: operator.leading, "the operator leads")
            await self._create(operator)
            await self._steady(operator)
            operator.stop()
            operator = OperatorProcess(self._server, log)
            await self._restart(operator)
            await self._react()
            self.figures.rss_mb = operator.memory("VmRSS")
            self.figures.peak_rss_mb = operator.memory("VmHWM")
            return self.figures
        finally:
            operator.stop()
            tasks.cancel()
            await asyncio.wait({tasks})

    async def _create(self, operator: OperatorProcess) -> None:
        count, began, mark = self._options.resources, time.monotonic(), self._server.mark()
        slots = asyncio.Semaphore(CREATING)

        async def create(number: int) -> None:
            async with slots:
                make = partial(self._kube.create, RESOURCE, fleet.resource(number))
                with contextlib.suppress(AlreadyExists):
                    await fleet.insist(partial(make, manager="bench"))

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(create(number))
        _say(f"{count} resources are there, the operator makes their children")
        await _until(
            lambda: len(self._good) == count,
            "all conditions are true",
            lambda: f"{len(self._good)} of {count} are good",
        )
        figures = self.figures
        figures.creation_s = time.monotonic() - began
        figures.creation_cpu_s = operator.cpu
        figures.creation_writes = len(self._server.writes(mark))

    async def _steady(self, operator: OperatorProcess) -> None:
        _say(f"{self._options.quiet:g} s in which nothing changes")
        await asyncio.sleep(5)
        figures, mark, cpu = self.figures, self._server.mark(), operator.cpu
        scrapes, began = self._fleet.scrapes, time.monotonic()
        await asyncio.sleep(self._options.quiet)
        figures.steady_s = time.monotonic() - began
        figures.steady_writes = len(self._server.writes(mark))
        figures.steady_cpu_percent = 100 * (operator.cpu - cpu) / figures.steady_s
        figures.steady_scrapes_per_s = (self._fleet.scrapes - scrapes) / figures.steady_s

    async def _restart(self, operator: OperatorProcess) -> None:
        count, figures, mark = self._options.resources, self.figures, self._server.mark()
        await _until(lambda: operator.leading, "the operator leads again")
        figures.restart_leading_s = time.monotonic() - operator.started
        await _until(
            lambda: operator.reconciles >= count,
            "every resource is looked at again",
            lambda: f"{operator.reconciles} of {count} were looked at",
        )
        figures.restart_looked_at_all_s = time.monotonic() - operator.started
        figures.restart_cpu_s = operator.cpu
        await asyncio.sleep(AFTER_RESTART_SECONDS)
        await _until(lambda: len(self._good) == count, "all conditions are true again")
        writes = Counter(" ".join(each) for each in self._server.writes(mark))
        figures.restart_writes, figures.restart_written = writes.total(), dict(writes)

    async def _react(self) -> None:
        """Change a threshold here and there; time how soon the table says so."""
        count, times = self._options.resources, []
        _say(f"{self._options.changes} changes, one at a time")
        for change in range(self._options.changes):
            number = change * 7919 % count
            name = fleet.name_of(number)
            self._tables[name] = asyncio.Event()
            threshold = f"0.{10 + change % 70}"
            began = time.monotonic()
            await self._kube.merge(
                RESOURCE,
                fleet.key(number),
                {"spec": {"routing": {"threshold": threshold}}},
                manager="bench",
            )
            async with asyncio.timeout(30):
                await self._tables[name].wait()
            times.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        figures = self.figures
        figures.changes = len(times)
        figures.reaction_p50_s = statistics.median(times)
        figures.reaction_p99_s = sorted(times)[max(0, round(len(times) * 0.99) - 1)]
        figures.reaction_max_s = max(times)

    def _seen(self, kind: Kind, obj: dict[str, Any]) -> None:
        if kind is RESOURCE:
            name = obj["metadata"]["name"]
            (self._good.add if _is_good(obj) else self._good.discard)(name)
        else:
            name = obj["metadata"]["labels"][fleet.INSTANCE]
            if name in self._tables:
                self._tables[name].set()


def _is_good(obj: dict[str, Any]) -> bool:
    status = obj.get("status") or {}
    conditions = status.get("conditions") or ()
    current = status.get("observedGeneration") == obj["metadata"]["generation"]
    return (
        current
        and bool(conditions)
        and all(c["status"] == GOOD.get(c["type"], "True") for c in conditions)
    )


async def _until(
    check: Callable[[], bool], what: str, progress: Callable[[], str] | None = None
) -> None:
    began = said = time.monotonic()
    while not check():
        now = time.monotonic()
        if now - began > LIMIT_SECONDS:
            raise TimeoutError(f"not within {LIMIT_SECONDS:g} s: {what}")
        if progress is not None and now - said > 10:
            _say(f"  {now - began:.0f} s: {progress()}")
            said = now
        await asyncio.sleep(0.2)
    _say(f"  after {time.monotonic() - began:.1f} s: {what}")


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


ROWS = (
    ("resources (2 models, 1 provider, 2 routers each)", "resources", "{:d}", ""),
    ("first creation until all conditions are true", "creation_s", "{:.1f} s", ""),
    ("- operator's CPU time", "creation_cpu_s", "{:.1f} s", ""),
    ("- operator's writes", "creation_writes", "{:d}", ""),
    ("restart until every resource was looked at", "restart_looked_at_all_s", "{:.1f} s", "60 s"),
    ("- of it until it leads", "restart_leading_s", "{:.1f} s", ""),
    ("- operator's CPU time", "restart_cpu_s", "{:.1f} s", ""),
    ("- operator's writes, 30 s more included", "restart_writes", "{:d}", "0"),
    ("steady state: writes", "steady_writes", "{:d}", "0"),
    ("- CPU", "steady_cpu_percent", "{:.1f} %", ""),
    ("- scrapes of routers", "steady_scrapes_per_s", "{:.0f}/s", ""),
    ("RSS at the end", "rss_mb", "{:.0f} MB", "250 MB"),
    ("RSS at most", "peak_rss_mb", "{:.0f} MB", ""),
    ("spec change to the child's change, p50", "reaction_p50_s", "{:.3f} s", ""),
    ("- p99", "reaction_p99_s", "{:.3f} s", "2 s"),
    ("- longest", "reaction_max_s", "{:.3f} s", ""),
)


def table(figures: Figures) -> str:
    """Return the figures as a Markdown table."""
    values = asdict(figures)
    lines = [f"Machine: {figures.machine}.", "", "| what | measured | aim |", "|---|---|---|"]
    lines += [f"| {what} | {form.format(values[key])} | {aim} |" for what, key, form, aim in ROWS]
    return "\n".join(lines) + "\n"


async def _main(options: argparse.Namespace) -> Figures:
    with ApiServer() as server:
        client = httpx.AsyncClient(
            base_url=server.url,
            headers=server.headers | {"user-agent": "bench"},
            verify=False,
            limits=httpx.Limits(max_connections=None),
        )
        async with client:
            return await Bench(server, Kube(client), options).run()


def main() -> int:
    """Run, write build/bench/operator.json and .md, print the table."""
    parser = argparse.ArgumentParser(prog="bench_operator", description=__doc__)
    parser.add_argument("--resources", type=int, default=int(os.environ.get("RESOURCES", "1000")))
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--quiet", type=float, default=30.0)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    figures = asyncio.run(_main(options))
    (OUT / "operator.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (OUT / "operator.md").write_text(table(figures))
    sys.stdout.write(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
