"""`make soak`: a week in an hour. A router process that serves, while everything around it changes.

    python -m tests.perf.soak [--minutes 10] [--rate 168] [--seed 1]

168 requests a second for 60 minutes are one a second for a week; the default is shorter. As in
`tests.perf.chaos`, replicas answer well, badly or not at all, streams break, and clients leave; the
table is another one every two seconds. The router is a process of its own, classifies, and enforces
a data policy. Time is divided into windows, and the last third of them is held against the first:

- its resident memory has not grown by more than 5 MiB,
- its CPU per request has not grown by more than a fifth,
- the median latency has not more than doubled (the machine is shared),
- no answer was wrong or lost,
- and when all clients have left, its descriptors are as many as before.

Writes build/bench/soak.md and .json. Exits 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.perf.chaos import Chaos, table, whole
from tests.support.ending import in_order
from tests.support.routers import Raw
from tests.support.upstreams import Upstream
from tests.support.vllm import ROOT, Process, hinf_router

WINDOWS = 12
FLAP_SECONDS = 2.0
WARM_UP_SECONDS = 15.0
"""Not counted: the detectors are built, and connections made."""
IDLE_SECONDS = 90
"""The router drops connections to backends that were idle for 60 s, and looks every 15 s."""
TIMES = {"connect": 5, "firstByte": 3.0, "idle": 2.0}
"""More than `tests.perf.chaos` gives: for an hour, the machine is shared."""
MOST_MIB, MOST_CPU, MOST_LATENCY = 5.0, 1.2, 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """One window.

    Attributes:
        end: minutes since the beginning.
        cpu_us: microseconds of the router's CPU per request.
        rss_mib: the router's resident memory at the end.
        descriptors: that it had open.
        tables: that it had been given.
    """

    end: float
    requests: int
    p50_ms: float
    p99_ms: float
    cpu_us: float
    rss_mib: float
    descriptors: int
    tables: int


class Soak(Chaos):
    """One run: clients and backends are here, the router is elsewhere.

    Args:
        minutes: that it takes.
        rate: requests/s.
        seed: of everything that is drawn.
    """

    def __init__(self, minutes: float, rate: float, seed: int) -> None:
        super().__init__(0, 0, seed)
        self.seconds = minutes * 60
        self.rate = rate
        self.tables = 1
        self.windows: list[Seen] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._taken: list[float] = []

    async def soak(self, folder: Path) -> tuple[int, int]:
        """Run; return the router's descriptors before and after."""
        ups = {name: Upstream(self._bad) for name in ("a", "b", "c")}
        ups |= {"good": Upstream(whole), "api": Upstream(whole)}
        for up in ups.values():
            await up.__aenter__()
        try:
            with hinf_router(_table(ups, ["a", "b", "c"], 1), folder) as process:
                (await _Remote(process.port).connect()).writer.close()
                await asyncio.sleep(1)  # libuv opens /dev/null with the first connection, for good
                before = _descriptors(process)
                changing = asyncio.create_task(self._change(ups, folder))
                await self._load(process)
                changing.cancel()
                await asyncio.gather(changing, return_exceptions=True)
                return before, await _calm(process, before)
        finally:
            for up in ups.values():
                await up.stop()

    async def _load(self, process: Process) -> None:
        began = time.monotonic()
        await self._ask_until(began + WARM_UP_SECONDS, process.port)
        self._taken.clear()
        for number in range(1, WINDOWS + 1):
            cpu = _cpu_seconds(process)
            end = began + WARM_UP_SECONDS + self.seconds * number / WINDOWS
            await self._ask_until(end, process.port)
            self._note((time.monotonic() - began) / 60, cpu, process)
        await asyncio.gather(*self._asking)

    async def _ask_until(self, end: float, port: int) -> None:
        """Begin requests at the rate, whether or not earlier ones have been answered."""
        due = time.monotonic()
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += 1 / self.rate
            task = asyncio.create_task(self._timed(port))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _timed(self, port: int) -> None:
        began = time.monotonic()
        try:
            await self._ask(_Remote(port))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.tally.note("no answer", wrong=repr(error))
        self._taken.append(time.monotonic() - began)

    def _note(self, minutes: float, cpu: float, process: Process) -> None:
        taken, self._taken = sorted(self._taken), []
        seen = Seen(
            end=minutes,
            requests=len(taken),
            p50_ms=statistics.median(taken) * 1000,
            p99_ms=taken[len(taken) * 99 // 100] * 1000,
            cpu_us=(_cpu_seconds(process) - cpu) / len(taken) * 1e6,
            rss_mib=_rss_mib(process),
            descriptors=_descriptors(process),
            tables=self.tables,
        )
        self.windows.append(seen)
        sys.stderr.write(f"soak: {len(self.windows)} of {WINDOWS}: {seen}\n")

    async def _change(self, ups: dict[str, Upstream], folder: Path) -> None:
        while True:
            await asyncio.sleep(FLAP_SECONDS)
            self.tables += 1
            bad = self.draw.sample(("a", "b", "c"), self.draw.randrange(4))
            text = json.dumps({"version": 1, **_table(ups, bad, self.tables)})
            new = folder / "new.json"
            new.write_text(text)
            new.rename(folder / "table.json")

    def faults(self, before: int, after: int) -> list[str]:
        """Return what does not hold."""
        third = WINDOWS // 3
        first, last = self.windows[:third], self.windows[-third:]
        found = [f"{len(self.tally.wrong)} wrong answers"] if self.tally.wrong else []
        if after > before:
            found.append(f"{before} descriptors before, {after} after")
        grown = _mean(last, "rss_mib") - _mean(first, "rss_mib")
        if grown > MOST_MIB:
            found.append(f"the resident memory has grown by {grown:.1f} MiB")
        for name, most in (("cpu_us", MOST_CPU), ("p50_ms", MOST_LATENCY)):
            ratio = _mean(last, name) / _mean(first, name)
            if ratio > most:
                found.append(f"{name} is {ratio:.2f} times what it was")
        return found


def _mean(windows: list[Seen], name: str) -> float:
    return float(statistics.median(getattr(each, name) for each in windows))


@dataclass(frozen=True)
class _Remote:
    port: int

    async def connect(self) -> Raw:
        return Raw(*await asyncio.open_connection("127.0.0.1", self.port))


def _table(ups: dict[str, Upstream], bad: list[str], generation: int) -> dict[str, Any]:
    found = table(ups, bad, generation)
    found["models"]["m"]["classified"] = True
    found["backends"]["local"]["timeouts"] = TIMES
    found["policy"]["threshold"] = 0.0  # judged, and then asked of the local model
    found["policy"]["data"] = {"keepLocal": ["payment-card"], "redact": ["email"]}
    return found


def _descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.popen.pid}/fd"))  # noqa: PTH208  names only


def _rss_mib(process: Process) -> float:
    text = Path(f"/proc/{process.popen.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def _calm(process: Process, most: int) -> int:
    """Return the descriptors once no more of them go away, or no more than `most` are left."""
    for _ in range(IDLE_SECONDS):
        if _descriptors(process) <= most:
            break
        await asyncio.sleep(1)
    return _descriptors(process)


def report(soak: Soak, before: int, after: int) -> str:
    """Return the result as Markdown."""
    count = sum(each.requests for each in soak.windows)
    head = (
        f"{count} requests at {soak.rate:g}/s in {soak.seconds / 60:g} minutes, {soak.tables} "
        f"tables; descriptors {before} before, {after} after; {len(soak.tally.wrong)} wrong."
    )
    lines = [
        head,
        "",
        "| minute | requests | p50 ms | p99 ms | CPU us | RSS MiB | descriptors |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.end:.1f} | {each.requests} | {each.p50_ms:.1f} | {each.p99_ms:.0f} "
        f"| {each.cpu_us:.0f} | {each.rss_mib:.1f} | {each.descriptors} |"
        for each in soak.windows
    ]
    lines += ["", "| outcome | requests |", "|---|---:|"]
    lines += [f"| {what} | {count} |" for what, count in sorted(soak.tally.seen.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="(default %(default)s)")
    parser.add_argument("--rate", type=float, default=168.0, help="requests/s (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    soak = Soak(options.minutes, options.rate, options.seed)
    with (
        tempfile.TemporaryDirectory() as name,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        before, after = runner.run(soak.soak(Path(name)))
    text = report(soak, before, after)
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.md").write_text(text)
    (folder / "soak.json").write_text(json.dumps([asdict(each) for each in soak.windows], indent=2))
    sys.stdout.write(text)
    faults = [*soak.tally.wrong[:20], *soak.faults(before, after)]
    for fault in faults:
        sys.stdout.write(f"WRONG {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(in_order(main))
