"""`make bench-look`: what one look of the scaling loop costs, and where its time goes.

    python -m tests.perf.bench_look [--resources N] [--looks N]

The autoscaler alone, without an API server, and beside it a process that answers as the engines
and routers of N resources do (two models with an engine each, two routers). Parts are measured in
turn with the whole: asking without reading what is answered, reading a page of each kind. Then a
quarter of the engines hangs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hybrid_operator.__main__ import GARBAGE
from hybrid_operator.control import autoscaler
from hybrid_operator.control.autoscaler import Autoscaler
from hybrid_operator.control.cache import Children, Resources, family_of
from hybrid_operator.core import naming
from hybrid_operator.core.state import Settings
from hybrid_operator.kube.kinds import CHILDREN, POD
from hybrid_operator.metrics import diverted, vllm
from hybrid_operator.metrics.connections import Connections
from hybrid_operator.metrics.fetch import MAX_BYTES, Direct
from hybrid_operator.metrics.gather import CONCURRENCY, Gatherer
from hybrid_operator.metrics.own import OwnMetrics
from tests.perf import fleet, pages
from tests.perf.api_server import free_port
from tests.perf.fleet import COMPONENT, Fleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hybrid_operator.kube.client import Kube

OUT = Path("build") / "bench"
MODELS = ("model-a", "model-b")
PAUSE_SECONDS = 0.5
READS = 300
HANGS = 4
"""Every how manyth engine hangs at the end."""
OURS = {
    "manager": "hybridinference-autoscaler",
    "operation": "Apply",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}


class World:
    """The resources of the bench as an operator's caches hold them."""

    def __init__(self, count: int, port: int) -> None:
        self.resources, self.children = Resources(lambda _: None), Children(lambda _: None)
        self.fleet = Fleet(cast("Kube", None), port, lambda *_: None)
        self._base = {"namespace": "default", "resourceVersion": "1", "generation": 1}
        for number in range(count):
            resource = fleet.resource(number)
            resource["metadata"] |= self._base | {"uid": f"uid-{number}"}
            self.resources.accept(None, resource | {"status": {}})
            self._family(fleet.name_of(number))
        self.pods = [pod for key in self.resources for pod in self.children.pods(family_of(key))]

    def _family(self, name: str) -> None:
        for model in MODELS:
            labels, engine = naming.engine_selector(name, model), naming.engine(name, model)
            metadata = {"name": engine, "uid": f"uid-{engine}", "managedFields": [OURS]}
            deployment = {
                "kind": "Deployment",
                "metadata": self._base | metadata | {"labels": labels},
                "spec": {"replicas": 1},
                "status": {"readyReplicas": 1},
            }
            self.children.upsert(CHILDREN["Deployment"], deployment)
            self._pod(engine, labels)
        for number in range(2):
            self._pod(f"{name}-router-{number}", naming.router_selector(name))

    def _pod(self, name: str, labels: dict[str, str]) -> None:
        ports = [{"name": "http", "containerPort": self.fleet.port}]
        status = {"phase": "Running", "podIP": self.fleet.address(labels)}
        pod = {
            "metadata": self._base | {"name": name, "uid": f"uid-{name}", "labels": labels},
            "spec": {"containers": [{"name": labels[COMPONENT], "ports": ports}]},
            "status": status | {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.children.upsert(POD, pod)


class Bench:
    """One run."""

    def __init__(self, world: World, looks: int) -> None:
        self._world, self._looks = world, looks
        self._fetch = Direct(Connections(MAX_BYTES))
        hands = autoscaler.Hands(cast("Any", None), cast("Any", None), OwnMetrics().scaling)
        settings, gatherer = Settings(router_image="r"), Gatherer(self._fetch)
        seen = autoscaler.World(world.resources, world.children, settings, gatherer)
        self._scaler = Autoscaler(seen, hands, lambda _: None, lambda: datetime.now(UTC))

    async def run(self) -> dict[str, float]:
        """Return what was measured: seconds, but where a name says microseconds."""
        for _ in range(2):
            await self._scaler.look()
        looks, asks = [], []
        for _ in range(self._looks):
            looks.append(await _timed(self._scaler.look))
            await asyncio.sleep(PAUSE_SECONDS)
            asks.append(await _timed(self._ask))
        engine, router = pages.EnginePage()().decode(), pages.router("hash").decode()
        return {
            "look_cpu": statistics.median(cpu for cpu, _ in looks),
            "look_cpu_least": min(cpu for cpu, _ in looks),
            "look": statistics.median(wall for _, wall in looks),
            "ask_cpu": statistics.median(cpu for cpu, _ in asks),
            "engine_page_us": _read(lambda: vllm.parse("engine", engine)),
            "router_page_us": _read(lambda: diverted.read(router)),
        }

    async def hung(self) -> dict[str, float]:
        """Return how long a look takes while pods hang: the first, and later ones."""
        first = await _timed(self._scaler.look)
        later = [await _timed(self._scaler.look) for _ in range(3)]
        return {"hung_first": first[1], "hung_later": statistics.median(w for _, w in later)}

    async def _ask(self) -> None:
        due = iter(self._world.pods)

        async def ask() -> None:
            for pod in due:
                await self._fetch(pod)

        await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the CPU time and the time that something takes, in seconds."""
    cpu, began = time.process_time(), time.monotonic()
    await work()
    return time.process_time() - cpu, time.monotonic() - began


def _read(read: Callable[[], object]) -> float:
    """Return the CPU time of reading a page, in microseconds: the median of seven."""
    times = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(READS):
            read()
        times.append((time.process_time() - began) / READS * 1e6)
    return statistics.median(times)


ROWS = (
    ("a look", "look", "{:.2f} s"),
    ("its CPU time, median", "look_cpu", "{:.2f} s"),
    ("its CPU time, least", "look_cpu_least", "{:.2f} s"),
    ("- of it asking all pods", "ask_cpu", "{:.2f} s"),
    ("- of it reading engines' pages", "engines_cpu", "{:.2f} s"),
    ("- of it reading routers' pages", "routers_cpu", "{:.2f} s"),
    ("an engine's page", "engine_page_us", "{:.0f} us"),
    ("a router's page", "router_page_us", "{:.0f} us"),
    ("the first look after a quarter of the engines hangs", "hung_first", "{:.2f} s"),
    ("those after it", "hung_later", "{:.2f} s"),
)


def table(figures: dict[str, float], resources: int) -> str:
    """Return the figures as a Markdown table."""
    head = f"{2 * resources} engines and {2 * resources} routers; {os.cpu_count()} cores, Python "
    lines = [head + platform.python_version() + ".", "", "| what | measured |", "|---|---:|"]
    lines += [f"| {what} | {form.format(figures[key])} |" for what, key, form in ROWS]
    return "\n".join(lines) + "\n"


async def _serve(world: World, *, hanging: bool) -> None:
    if hanging:
        addresses = [pod["status"]["podIP"] for pod in world.pods]
        engines = [each for each in addresses if not world.fleet.is_router(each)]
        world.fleet.silent = frozenset(engines[::HANGS])
    async with await world.fleet.serve() as server:
        await server.serve_forever()


def _beside(world: World, options: argparse.Namespace, *more: str) -> subprocess.Popen[bytes]:
    """Start the process that answers, and wait until it does."""
    where = ("--port", str(world.fleet.port), "--resources", str(options.resources))
    command = [sys.executable, "-m", "tests.perf.bench_look", "--serve", *where, *more]
    process = subprocess.Popen(command)
    time.sleep(3)
    return process


async def _measure(world: World, options: argparse.Namespace) -> dict[str, float]:
    bench = Bench(world, options.looks)
    found: dict[str, float] = {}
    for hanging in (False, True):
        process = _beside(world, options, *(["--hanging"] if hanging else []))
        try:
            found |= await (bench.hung() if hanging else bench.run())
        finally:
            process.terminate()
            process.wait(10)
    pods = 2 * options.resources
    found["engines_cpu"] = found["engine_page_us"] * pods / 1e6
    found["routers_cpu"] = found["router_page_us"] * pods / 1e6
    return found


def main() -> int:
    """Run, write build/bench/look.json and .md, print the table."""
    parser = argparse.ArgumentParser(prog="bench_look", description=__doc__)
    parser.add_argument("--resources", type=int, default=int(os.environ.get("RESOURCES", "1000")))
    parser.add_argument("--looks", type=int, default=7)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hanging", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    world = World(options.resources, options.port or free_port())
    if options.serve:
        asyncio.run(_serve(world, hanging=options.hanging))
        return 0
    gc.set_threshold(GARBAGE)
    figures = asyncio.run(_measure(world, options))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "look.json").write_text(json.dumps(figures, indent=2) + "\n")
    (OUT / "look.md").write_text(table(figures, options.resources))
    sys.stdout.write(table(figures, options.resources))
    return 0


if __name__ == "__main__":
    sys.exit(main())
