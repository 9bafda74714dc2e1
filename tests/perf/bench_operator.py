"""`make bench-operator`: what an operator of many resources costs, and how soon it reacts.

    python -m tests.perf.bench_operator [--resources N] [--changes N] [--quiet S] [--state DIR]

A real API server and etcd with their limits raised, a real operator process, N resources with two
models that scale, a provider and two routers each. `tests.perf.fleet` stands in for kubelets and
controllers, engines and routers; all of it shares this machine's cores, and who takes how much of
them is shown.

A restart is over when the operator has judged every resource by all that it must know, its routers'
own reports included, has found nothing to write, and every status is of its resource's generation
with all conditions as they should be.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from hybrid_operator.kube.client import Kube
from hybrid_operator.kube.errors import AlreadyExists
from hybrid_operator.kube.kinds import RESOURCE
from tests.perf import fleet
from tests.perf.api_server import ApiServer, free_port
from tests.perf.fleet import Fleet
from tests.perf.operator_process import Looks, OperatorProcess, cpu_seconds, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.kube.kinds import Kind


OUT = Path("build") / "bench"
CREATING = 16
AFTER_RESTART_SECONDS = 30.0
GOOD = {"Degraded": "False", "Progressing": "False", "UpdateAvailable": "False"}
LIMIT_SECONDS = 900.0
SETTLED_SECONDS = 8.0
SETTLED_LOOKS = 2
"""Looks of the scaling loop without a write: the first at 2,000 engines takes over all replicas,
and may be longer than any pause."""


@dataclass
class Figures:
    """What was measured."""

    resources: int
    objects: int = 0
    creation_s: float = 0.0
    creation_settled_s: float = 0.0
    creation_cpu_s: float = 0.0
    creation_writes: int = 0
    creation_written: dict[str, int] = field(default_factory=dict)
    creation_cpu_shares: dict[str, float] = field(default_factory=dict)
    restart_leading_s: float = 0.0
    restart_proved_s: float = 0.0
    restart_cpu_shares: dict[str, float] = field(default_factory=dict)
    restart_cpu_s: float = 0.0
    restart_writes: int = 0
    restart_written: dict[str, int] = field(default_factory=dict)
    steady_s: float = 0.0
    steady_writes: int = 0
    steady_written: dict[str, int] = field(default_factory=dict)
    steady_cpu_percent: float = 0.0
    steady_cpu_shares: dict[str, float] = field(default_factory=dict)
    steady_scrapes_per_s: float = 0.0
    engine_scrapes_per_s: float = 0.0
    engines: int = 0
    looks: int = 0
    look_mean_s: float = 0.0
    look_most_s: float = 0.0
    look_every_s: float = 0.0
    rss_mb: float = 0.0
    peak_rss_mb: float = 0.0
    reaction_p50_s: float = 0.0
    reaction_p99_s: float = 0.0
    reaction_max_s: float = 0.0
    changes: int = 0
    machine: str = ""
    load_average: str = ""


class Bench:
    """One run."""

    def __init__(
        self, server: ApiServer, kube: Kube, options: argparse.Namespace, figures: Figures
    ) -> None:
        self._server = server
        self._kube = kube
        self._options = options
        self._fleet = Fleet(kube, free_port(), self._seen)
        self._good: set[str] = set()
        self._tables: dict[str, asyncio.Event] = {}
        self.figures = figures

    async def run(self) -> None:
        """Measure everything."""
        await self._fleet.resume()
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
        finally:
            operator.stop()
            tasks.cancel()
            await asyncio.wait({tasks})

    async def _create(self, operator: OperatorProcess) -> None:
        count, began, mark = self._options.resources, time.monotonic(), self._server.mark()
        used = self._used(operator)
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
        figures.creation_cpu_shares = self._shares(used, operator, figures.creation_s)
        settled = await _settled(operator)
        figures.creation_settled_s = settled - began
        writes = self._server.writes(mark)
        figures.creation_writes, figures.creation_written = writes.total(), dict(writes)

    async def _steady(self, operator: OperatorProcess) -> None:
        _say(f"{self._options.quiet:g} s in which nothing changes")
        await asyncio.sleep(5)
        figures, mark, cpu = self.figures, self._server.mark(), operator.cpu
        fleet_, began, used = self._fleet, time.monotonic(), self._used(operator)
        scrapes, engines, looks = fleet_.scrapes, fleet_.engine_scrapes, Looks.of(operator.page())
        await asyncio.sleep(self._options.quiet)
        seconds = figures.steady_s = time.monotonic() - began
        writes = self._server.writes(mark)
        figures.steady_writes, figures.steady_written = writes.total(), dict(writes)
        figures.steady_cpu_percent = 100 * (operator.cpu - cpu) / seconds
        figures.steady_cpu_shares = self._shares(used, operator, seconds)
        figures.steady_scrapes_per_s = (fleet_.scrapes - scrapes) / seconds
        figures.engine_scrapes_per_s = (fleet_.engine_scrapes - engines) / seconds
        figures.engines = 2 * self._options.resources
        looks = Looks.of(operator.page()) - looks
        figures.looks, figures.look_most_s = looks.count, looks.most
        figures.look_mean_s = looks.seconds / max(looks.count, 1)
        figures.look_every_s = seconds / max(looks.count, 1)
        figures.load_average = " ".join(f"{each:.1f}" for each in os.getloadavg())

    async def _restart(self, operator: OperatorProcess) -> None:
        count, figures, mark = self._options.resources, self.figures, self._server.mark()
        used = self._used(operator)
        await _until(lambda: operator.leading, "the operator leads again")
        figures.restart_leading_s = time.monotonic() - operator.started
        await _until(
            lambda: operator.current == count == len(self._good),
            "every status is proved current",
            lambda: f"{operator.current} of {count} are proved, {len(self._good)} are good",
        )
        figures.restart_proved_s = time.monotonic() - operator.started
        figures.restart_cpu_s = operator.cpu
        figures.restart_cpu_shares = self._shares(used, operator, figures.restart_proved_s)
        await asyncio.sleep(AFTER_RESTART_SECONDS)
        assert operator.current == count == len(self._good), "what was current is no more"
        writes = self._server.writes(mark)
        figures.restart_writes, figures.restart_written = writes.total(), dict(writes)

    async def _react(self) -> None:
        """Change a threshold here and there; time how soon the table says so."""
        count, times = self._options.resources, []
        first = int(time.time())  # other ones than those of a run whose state is gone on from
        _say(f"{self._options.changes} changes, one at a time")
        for change in range(self._options.changes):
            number = change * 7919 % count
            name = fleet.name_of(number)
            self._tables[name] = asyncio.Event()
            threshold = f"0.{1000 + (first + change) % 9000}"
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

    def _used(self, operator: OperatorProcess) -> dict[str, float]:
        """Return the CPU time of every process so far, in seconds."""
        mine = {"operator": operator.cpu, "bench": time.process_time()}
        return mine | {name: cpu_seconds(pid) for name, pid in self._server.pids.items()}

    def _shares(
        self, before: dict[str, float], operator: OperatorProcess, seconds: float
    ) -> dict[str, float]:
        """Return what each process took since then, in percent of one core."""
        now = self._used(operator)
        return {name: round(100 * (now[name] - before[name]) / seconds, 1) for name in now}

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
        await asyncio.sleep(0.5)
    _say(f"  after {time.monotonic() - began:.1f} s: {what}")


async def _settled(operator: OperatorProcess) -> float:
    """Wait for `SETTLED_SECONDS` and `SETTLED_LOOKS` without a write; return when they began."""
    page = operator.page()
    last, since, looks = writes(page), time.monotonic(), Looks.of(page)
    while (
        time.monotonic() - since < SETTLED_SECONDS or (Looks.of(page) - looks).count < SETTLED_LOOKS
    ):
        await asyncio.sleep(2)
        page = operator.page()
        if writes(page) != last:
            last, since, looks = writes(page), time.monotonic(), Looks.of(page)
    return since


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


ROWS = (
    ("resources (2 models, 1 provider, 2 routers each)", "resources", "{:d}", ""),
    ("first creation until all conditions are true", "creation_s", "{:.1f} s", ""),
    ("- until its last write, all replicas taken over", "creation_settled_s", "{:.1f} s", ""),
    ("- operator's CPU time", "creation_cpu_s", "{:.1f} s", ""),
    ("- operator's writes", "creation_writes", "{:d}", ""),
    ("- share of a core by process", "creation_cpu_shares", "{}", ""),
    ("restart until every status is proved current", "restart_proved_s", "{:.1f} s", "60 s"),
    ("- of it until it leads", "restart_leading_s", "{:.1f} s", ""),
    ("- operator's CPU time", "restart_cpu_s", "{:.1f} s", ""),
    ("- share of a core by process", "restart_cpu_shares", "{}", ""),
    ("- operator's writes, 30 s more included", "restart_writes", "{:d}", "0"),
    ("steady state: writes", "steady_writes", "{:d}", "0"),
    ("- share of a core by process", "steady_cpu_shares", "{}", ""),
    ("- scrapes of routers", "steady_scrapes_per_s", "{:.0f}/s", ""),
    ("- scrapes of engines", "engine_scrapes_per_s", "{:.0f}/s", ""),
    ("scaling loop: engines asked in each look", "engines", "{:d}", ""),
    ("- duration of a look, mean", "look_mean_s", "{:.2f} s", "3 s"),
    ("- all of them below", "look_most_s", "{:g} s", "5 s"),
    ("- from one to the next, mean", "look_every_s", "{:.2f} s", "5 s"),
    ("RSS at the end", "rss_mb", "{:.0f} MB", "250 MB"),
    ("RSS at most", "peak_rss_mb", "{:.0f} MB", ""),
    ("spec change to the child's change, p50", "reaction_p50_s", "{:.3f} s", ""),
    ("- p99", "reaction_p99_s", "{:.3f} s", "2 s"),
    ("- longest", "reaction_max_s", "{:.3f} s", ""),
)


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:.0f} %" for name, share in value.items())
    return value


def table(figures: Figures) -> str:
    """Return the figures as a Markdown table."""
    values = asdict(figures)
    head = f"Machine: {figures.machine}; load average (1, 5, 15 min) {figures.load_average}."
    lines = [head, "", "| what | measured | aim |", "|---|---|---|"]
    lines += [
        f"| {what} | {form.format(_shown(values[key]))} | {aim} |" for what, key, form, aim in ROWS
    ]
    for phase in ("creation", "steady", "restart"):
        written = sorted(values[f"{phase}_written"].items(), key=lambda each: -each[1])
        told = ", ".join(f"{what}: {count}" for what, count in written)
        lines += ["", f"Writes ({phase}): {told or 'none'}."]
    return "\n".join(lines) + "\n"


async def _main(options: argparse.Namespace, figures: Figures) -> None:
    with ApiServer(options.state) as server:
        client = httpx.AsyncClient(
            base_url=server.url,
            headers=server.headers | {"user-agent": "bench"},
            verify=False,
            limits=httpx.Limits(max_connections=None),
        )
        async with client:
            await Bench(server, Kube(client), options, figures).run()


def main() -> int:
    """Run, write build/bench/operator.json and .md, print the table."""
    parser = argparse.ArgumentParser(prog="bench_operator", description=__doc__)
    parser.add_argument("--resources", type=int, default=int(os.environ.get("RESOURCES", "1000")))
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--quiet", type=float, default=30.0)
    parser.add_argument(
        "--state", type=Path, help="keep etcd's data there, and go on from what is there"
    )
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background, too, it ends in order
        signal.signal(number, signal.default_int_handler)
    figures = Figures(options.resources, machine=_machine())
    try:
        asyncio.run(_main(options, figures))
    except KeyboardInterrupt:
        _say("cut short: no figures are written, for those that are missing would stand as 0")
        return 130
    (OUT / "operator.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (OUT / "operator.md").write_text(table(figures))
    sys.stdout.write(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
