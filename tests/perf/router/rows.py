"""What is measured: one function per row, each returning samples by gateway.

Rounds are interleaved: in each round every gateway is measured once, while the others are stopped,
so that what happens on the machine meanwhile meets all of them alike.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.perf.router import bodies, measure
from tests.perf.router.gateways import GATEWAYS, KEY, MODEL, OURS, PEERS, Setting
from tests.perf.router.measure import Running, Sample, UnansweredError

DIRECT = "direct"
"""The load straight to the upstream: what the gateway adds is counted from here."""
PORTS = (19_401, 19_402, 19_403)
FIRST_PORT = 19_410
CHUNKS, INTERVAL_US = 64, 20_000
CONNECTIONS = 64
STREAMS = 256
WARM_SECONDS = 0.5
LARGE_BYTES = 20_000_000
DETECTORS = {
    "keepLocal": ["payment-card", "iban", "national-id", "secret"],
    "redact": ["email", "phone", "ip-address"],
}
"""A data policy that names every built-in class."""
RSS_STEPS = 10

CAUSE = "cause"
"""Stands in a sample's place where a gateway answered nothing: why it has no figure."""

Samples = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        folder: for bodies, settings and logs.
        rounds: of each gateway.
        seconds: of each measurement under full load; half of it at concurrency 1.
        requests: of the row `memory`.
        idle: connections of the row `idle`.
        names: the gateways.
    """

    folder: Path
    rounds: int
    seconds: float
    requests: int
    idle: int
    names: tuple[str, ...] = field(default_factory=lambda: tuple(GATEWAYS))


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    text: str
    run: Callable[[Plan], Samples]


def chat(size: int, *, judged: bool = False) -> Callable[[Plan], Samples]:
    """Return what measures whole answers to requests of that many bytes.

    Args:
        size: of a request's body.
        judged: ours alone, with the classifier and all detectors.
    """

    def run(plan: Plan) -> Samples:
        wanted = (OURS.name,) if judged else plan.names
        asked = _bodies(plan, size, model="auto" if judged else MODEL)
        with _all(plan, {"data": DETECTORS} if judged else {}, wanted) as gateways:
            for gateway in gateways:
                measure.load("closed", gateway.port, asked, CONNECTIONS, WARM_SECONDS)
            return _rounds(plan, gateways, lambda gateway: _chat(plan, gateway, asked))

    return run


def streams(*, resume: bool, large: bool = False) -> Callable[[Plan], Samples]:
    """Return what measures 256 concurrent streams, with 20 MB bodies arriving beside them."""

    def run(plan: Plan) -> Samples:
        # LiteLLM does not keep up with 256 streams: its figures would be those of an overload.
        wanted = tuple(name for name in plan.names if name != "litellm")
        asked = _bodies(plan, 1024, model=MODEL, stream=True)
        heavy = _bodies(plan, LARGE_BYTES, model=MODEL) if large else None
        with _all(plan, {"resume": resume}, wanted) as gateways:
            return _rounds(plan, gateways, lambda gateway: _streams(plan, gateway, asked, heavy))

    return run


def memory(plan: Plan) -> Samples:
    """Measure the resident memory while requests go by: it has to end where it began."""
    asked = _bodies(plan, 1024, model=MODEL)
    samples: Samples = {}
    with _all(plan, {}, (OURS.name,)) as (gateway,):
        measure.load("closed", gateway.port, asked, CONNECTIONS, WARM_SECONDS)
        steps: list[dict[str, Sample]] = []
        for _ in range(RSS_STEPS):
            measure.load("closed", gateway.port, asked, CONNECTIONS, -(plan.requests // RSS_STEPS))
            steps.append({"memory": {"rss_mib": gateway.rss_mib()}})
            _say(f"memory: {len(steps)} of {RSS_STEPS} steps, {gateway.rss_mib():.1f} MiB")
        samples[gateway.name] = steps
    return samples


def idle(plan: Plan) -> Samples:
    """Measure the resident memory with connections that have asked once and stay open."""
    asked = _bodies(plan, 1024, model=MODEL)
    with _all(plan, {}, (OURS.name,)) as (gateway,):
        process = measure.start_load("idle", gateway.port, asked, plan.idle)
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the idle connections did not come to be")
        found = {"idle": {"rss_mib": gateway.rss_mib()}}
        process.communicate()
        return {gateway.name: [found]}


ROWS = {
    row.name: row
    for row in (
        Row("chat-1k", "1 KB chat", chat(1024)),
        Row("chat-64k", "64 KB chat", chat(65_536)),
        Row("judged-1k", "1 KB chat, classified and scanned", chat(1024, judged=True)),
        Row("judged-64k", "64 KB chat, classified and scanned", chat(65_536, judged=True)),
        Row("streams", "256 streams, resume off", streams(resume=False)),
        Row("streams-armed", "256 streams, resume armed", streams(resume=True)),
        Row("streams-large", "256 streams beside 20 MB bodies", streams(resume=True, large=True)),
        Row("memory", "memory while requests go by", memory),
        Row("idle", "idle keep-alive connections", idle),
    )
}


def _chat(plan: Plan, gateway: Running | None, asked: Path) -> dict[str, Sample]:
    if gateway is None:
        return {"c1": measure.load("closed", PORTS[0], asked, 1, plan.seconds / 2)}
    return {
        "c64": measure.accounted(gateway, "closed", asked, CONNECTIONS, plan.seconds),
        "c1": measure.accounted(gateway, "closed", asked, 1, plan.seconds / 2),
    }


def _streams(
    plan: Plan, gateway: Running | None, asked: Path, heavy: Path | None
) -> dict[str, Sample]:
    """Each connection asks for streams, one after the other, until the time is over."""
    seconds = max(plan.seconds, 2.0 * CHUNKS * INTERVAL_US / 1e6)
    port = gateway.port if gateway is not None else PORTS[0]
    with _beside(port, heavy, seconds):
        if gateway is None:
            return {"streams": measure.load("streams", port, asked, STREAMS, seconds)}
        return {"streams": measure.accounted(gateway, "streams", asked, STREAMS, seconds)}


@contextlib.contextmanager
def _beside(port: int, heavy: Path | None, seconds: float) -> Iterator[None]:
    """Ask for large bodies meanwhile, one after the other."""
    if heavy is None:
        yield
        return
    load = measure.start_load("closed", port, heavy, 1, seconds, 250)
    try:
        yield
    finally:
        try:
            measure.finish_load(load)
        except UnansweredError as error:
            raise UnansweredError(f"bodies of {LARGE_BYTES // 1_000_000} MB: {error}") from None


def _rounds(
    plan: Plan, gateways: list[Running], one: Callable[[Running | None], dict[str, Sample]]
) -> Samples:
    samples: Samples = {DIRECT: [], **{gateway.name: [] for gateway in gateways}}
    for gateway in gateways:
        gateway.pause()
    for number in range(plan.rounds):
        for turn in (None, *gateways):
            name = turn.name if turn is not None else DIRECT
            if any(CAUSE in sample for sample in samples[name]):
                continue
            if turn is not None:
                turn.go_on()
            try:
                samples[name].append(one(turn))
            except UnansweredError as error:
                samples[name].append({CAUSE: str(error)})
            if turn is not None:
                turn.pause()
            _say(f"round {number + 1} of {plan.rounds}: {name} {_short(samples[name][-1])}")
    return samples


@contextlib.contextmanager
def _all(plan: Plan, options: dict[str, Any], wanted: tuple[str, ...]) -> Iterator[list[Running]]:
    """Start the upstream and the gateways."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(measure.upstream(PORTS, CHUNKS, INTERVAL_US))
        found = []
        for number, gateway in enumerate((OURS, *PEERS)):
            if gateway.name in wanted and gateway.name in plan.names:
                port = FIRST_PORT + 2 * number
                setting = Setting(plan.folder / gateway.name, port, PORTS, options)
                _say(f"starting {gateway.name}")
                found.append(stack.enter_context(measure.running(gateway, setting)))
        time.sleep(1.0)
        yield found


def _bodies(plan: Plan, size: int, *, model: str, stream: bool = False) -> Path:
    plan.folder.mkdir(parents=True, exist_ok=True)
    path = plan.folder / f"{model}-{size}{'-stream' if stream else ''}"
    bodies.write(path, size, model=model, key=KEY, stream=stream)
    return path


def _short(sample: dict[str, Any]) -> str:
    if CAUSE in sample:
        return f"has no figure: {sample[CAUSE]}"
    parts = []
    for name, found in sample.items():
        parts.append(f"{name} p50 {found['p50_us']:.0f} p99 {found['p99_us']:.0f} us")
        if "cpu_us" in found:
            parts.append(f"cpu {found['cpu_us']:.1f} us")
        if found["refused"] or found["failed"]:
            parts.append(f"{found['refused']} refused, {found['failed']} failed")
    return ", ".join(parts)


def _say(text: str) -> None:
    sys.stderr.write(f"bench-router: {text}\n")
