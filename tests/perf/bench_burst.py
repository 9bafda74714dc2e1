"""`make bench-burst`: a burst of long prompts at a real vLLM, with and without `begin_within`.

    python -m tests.perf.bench_burst [--requests 24] [--within 8] [--rounds 2]

One vLLM on this machine's CPU (a Llama with random weights, as in bench_engine), a scripted API
that begins to answer after 0.6 s, and this router before both, the local model first. A burst comes
at random times, three times as fast as the engine computes prompts. The two ways take turns at the
same engine; every round has prompts of its own, and before it a few requests one by one from which
the router learns how fast the engine is. Counted are the seconds to the first token, and who
answered. Needs `tests/cluster/vllm-env` and `tests/cluster/tiny-model`; 8 minutes on an idle
machine. Writes build/bench/burst.json and .md.
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
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.perf.bench_engine import arguments, wide
from tests.support.upstreams import Upstream, streams
from tests.support.vllm import NAME, engines, hinf_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.upstreams import Talk

OUT = Path("build") / "bench"
PROMPT, GENERATED = (30, 150), 8
"""Words of a prompt, from and to, all as likely (some three tokens each); tokens of an answer."""
LEARN = 24
API_SECONDS = 0.6
FASTER = 3.0
WAYS = ("places alone", "begin_within")


class Answer(NamedTuple):
    """One request: seconds to its first token, and whether the local model gave it."""

    seconds: float
    local: bool


def ask(port: int, seed: int) -> Answer:
    """Return how a streamed chat began."""
    draw = random.Random(seed)  # noqa: S311  words
    words = " ".join(f"w{draw.randrange(1000)}" for _ in range(draw.randint(*PROMPT)))
    message = {"role": "user", "content": words}
    body = {"model": "auto", "messages": [message], "max_tokens": GENERATED, "stream": True}
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        began = time.monotonic()
        head = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read().decode()}")
        first = 0.0
        for line in reply:
            if not first and b'"content":"' in line and b'"content":""' not in line:
                first = time.monotonic() - began
        return Answer(first, reply.headers["x-hybrid-source"] == "local")


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
        return ask(port, seed * 1000 + index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def measured(given: argparse.Namespace) -> dict[str, list[Answer]]:
    """Return the answers of all rounds by way."""
    found: dict[str, list[Answer]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name, api() as url:
        folder = Path(name)
        say("starting vLLM")
        with engines(1, str(wide(folder)), folder, *arguments(2048)) as (engine,):
            for number in range(given.rounds * len(WAYS)):
                way = WAYS[number % len(WAYS)]
                local = {"trust": "internal", "engine": "vllm",
                         "urls": [f"http://127.0.0.1:{engine.port}/v1"]}  # fmt: skip
                if way == "begin_within":
                    local["beginWithin"] = given.within
                backends = {"local": local, "api": {"trust": "external", "urls": [url]}}
                targets = [{"backend": each, "model": NAME} for each in backends]
                table = {"backends": backends, "models": {"auto": {"targets": targets}}}
                with hinf_router(table, folder) as router:
                    seed = 10 * (number + 1)
                    alone = [ask(router.port, 100_000 * seed + i).seconds for i in range(LEARN)]
                    each = statistics.mean(alone)
                    answers = burst(router.port, given.requests, FASTER / each, seed)
                found[way] += answers
                say(f"{way}: {line(answers, given.within)}")
    return found


def line(answers: list[Answer], within: float) -> str:
    """Return what is said of a way."""
    seconds = sorted(each.seconds for each in answers)
    p90 = seconds[round(0.9 * (len(seconds) - 1))]
    good = sum(each <= within for each in seconds) / len(seconds)
    local = sum(each.local for each in answers) / len(answers)
    return f"{good:.0%} | {statistics.median(seconds):.1f} s | {p90:.1f} s | {local:.0%}"


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Measure, and write build/bench/burst.json and .md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=24, help="of a burst (default 24)")
    parser.add_argument("--within", type=float, default=8.0, help="seconds (default 8)")
    parser.add_argument("--rounds", type=int, default=2, help="of each way (default 2)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, vLLM ends too
    found = measured(given)
    head = [f"| way | within {given.within:g} s | first token, p50 | p90 | local |"]
    rows = [f"| {way} | {line(answers, given.within)} |" for way, answers in found.items()]
    text = "\n".join([*head, "|---|---|---|---|---|", *rows]) + "\n"
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "burst.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUT / "burst.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
