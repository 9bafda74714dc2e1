"""`make bench-burst`: bursts of long prompts at a real vLLM, with `beginWithin` and without it.

    python -m tests.perf.bench_burst [--requests 20] [--within 5] [--rounds 2]

One vLLM on this machine's CPU (a Llama with random weights, 100 million parameters), a scripted API
that begins to answer after 0.6 s, and before both three routers, the local model first: one that
sends on whatever the engine has places for, one with an objective and a table that says nothing of
the engine, and one whose table says what the operator would start from on a CPU. Bursts come at
random times, three times as fast as the engine computes prompts. The routers take turns; each keeps
what it has learnt for its next burst. Counted are the seconds to the first token, and who answered.
Needs `tests/cluster/vllm-env` and `tests/cluster/tiny-model`; 4 minutes. Writes
build/bench/burst.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_operator.core.scaling.intent import CPU
from tests.perf.bench_engine import arguments, wide
from tests.support.upstreams import Upstream, streams
from tests.support.vllm import NAME, ROOT, engines, hinf_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.upstreams import Talk

OUT = Path("build") / "bench"
SIZE = {
    "hidden_size": 768,
    "intermediate_size": 2304,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "head_dim": 64,
    "num_hidden_layers": 12,
}
STEP = 512
"""Tokens of a step: about a quarter of the objective, as 2,048 are on an A10G."""
PROMPT, GENERATED = (2_600, 4_400), 8
"""Characters of a prompt, from and to, all as likely; tokens of an answer."""
ALONE = 5
"""Requests one by one that tell how fast the engine is; the median counts."""
API_SECONDS = 0.6
FASTER = 3.0
PATIENT = 300.0
"""Seconds: nothing goes to the API because an attempt took too long."""


class Answer(NamedTuple):
    """One request: seconds to its first token, and whether the local model gave it."""

    seconds: float
    local: bool


class Burst(NamedTuple):
    """One burst at one router."""

    way: str
    number: int
    answers: list[Answer]


def ways(within: float) -> dict[str, dict[str, float]]:
    """Return what the tables say of the local model."""
    asked = {"beginWithin": within}
    return {
        "places alone": {},
        "an objective": asked,
        f"an objective, {CPU[0]:.0f} tokens/s": {**asked, "prefillTokensPerSecond": CPU[0]},
    }


def table(local: str, api: str, fields: dict[str, float]) -> dict[str, Any]:
    """Return a RouteTable with the local model first."""
    timeouts = {"firstByte": PATIENT, "idle": PATIENT, "request": PATIENT}
    engine = {"trust": "internal", "engine": "vllm", "urls": [local], "timeouts": timeouts}
    backends = {"local": {**engine, **fields}, "api": {"trust": "external", "urls": [api]}}
    targets = [{"backend": each, "model": NAME} for each in backends]
    models = {"auto": {"targets": targets}}
    return {"backends": backends, "models": models, "policy": {"deadline": PATIENT}}


def ask(port: int, model: str, seed: int) -> Answer:
    """Return how a streamed chat about words of this project's licence began."""
    draw = random.Random(seed)  # noqa: S311  words
    size, words = draw.randint(*PROMPT), _words()
    text = ""
    while len(text) < size:
        text += f"{draw.choice(words)} "
    message = {"role": "user", "content": text}
    body = {"model": model, "messages": [message], "max_tokens": GENERATED, "stream": True}
    with closing(HTTPConnection("127.0.0.1", port, timeout=2 * PATIENT)) as connection:
        began, first = time.monotonic(), 0.0
        head = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read().decode()}")
        for line in reply:
            if not first and _generated(line):
                first = time.monotonic() - began
        seconds = first or time.monotonic() - began
        return Answer(seconds, reply.headers.get("x-hybrid-source") == "local")


def _words() -> list[str]:
    return (ROOT / "LICENSE").read_text().split()


def _generated(line: bytes) -> bool:
    """Whether a line of a stream has something of the answer."""
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[6:]).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


async def _late(talk: Talk) -> None:
    await asyncio.sleep(API_SECONDS)
    await streams("a", "b")(talk)


@contextmanager
def api() -> Iterator[str]:
    """Run the scripted API on a thread of its own; yield its URL."""
    loop, there = asyncio.new_event_loop(), threading.Event()
    ended, urls = asyncio.Event(), []

    async def serve() -> None:
        async with Upstream(_late) as upstream:
            urls.append(upstream.url)
            there.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    there.wait()
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def burst(port: int, count: int, rate: float, seed: int) -> list[Answer]:
    """Send requests at random times, `rate` a second in the mean."""
    draw, at, times = random.Random(seed), 0.0, []  # noqa: S311  arrivals
    for _ in range(count):
        times.append(at)
        at += draw.expovariate(rate)
    began = time.monotonic()

    def one(index: int) -> Answer:
        time.sleep(max(times[index] - (time.monotonic() - began), 0.0))
        return ask(port, "auto", seed * 1000 + index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def measured(given: argparse.Namespace) -> tuple[float, list[Burst]]:
    """Return the seconds of a prompt alone, and all bursts."""
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(api())
        say("starting vLLM")
        model = str(wide(folder, SIZE))
        (engine,) = stack.enter_context(engines(1, model, folder, *arguments(STEP)))
        took = [ask(engine.port, NAME, seed).seconds for seed in range(ALONE + 1)][1:]
        alone = statistics.median(took)
        say(f"a prompt alone: {alone:.2f} s")
        ports = {}
        for number, (way, fields) in enumerate(ways(given.within).items()):
            local = f"http://127.0.0.1:{engine.port}/v1"
            own = folder / str(number)
            own.mkdir()
            ports[way] = stack.enter_context(hinf_router(table(local, url, fields), own)).port
        for number in range(1, given.rounds + 1):
            for way, port in ports.items():
                # The same prompts at the same times for every way of a round.
                answers = burst(port, given.requests, FASTER / alone, number)
                found.append(Burst(way, number, answers))
                say(f"{number}. {way}: {line(answers, given.within)}")
    return alone, found


def line(answers: list[Answer], within: float) -> str:
    """Return what is said of a burst."""
    seconds = sorted(each.seconds for each in answers)
    p90 = seconds[round(0.9 * (len(seconds) - 1))]
    good = sum(each <= within for each in seconds) / len(seconds)
    away = sum(not each.local for each in answers)
    return f"{good:.0%} | {statistics.median(seconds):.1f} s | {p90:.1f} s | {away}"


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Measure, and write build/bench/burst.json and .md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20, help="of a burst (default 20)")
    parser.add_argument("--within", type=float, default=5.0, help="seconds (default 5)")
    parser.add_argument("--rounds", type=int, default=2, help="bursts of each way (default 2)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, vLLM ends too
    alone, found = measured(given)
    head = (
        f"| burst of {given.requests} | within {given.within:g} s | first token, p50 | p90 | API |"
    )
    rows = [
        f"| {each.way}, {each.number}. | {line(each.answers, given.within)} |" for each in found
    ]
    text = "\n".join(
        [head, "|---|---|---|---|---|", *rows, f"\nA prompt alone: {alone:.2f} s.", ""]
    )
    OUT.mkdir(parents=True, exist_ok=True)
    figures = {"alone_seconds": alone, "bursts": [each._asdict() for each in found]}
    (OUT / "burst.json").write_text(json.dumps(figures, indent=2) + "\n")
    (OUT / "burst.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
