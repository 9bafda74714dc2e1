"""`make bench-affinity`: how much of the prompts real vLLMs find in their prefix caches.

    python -m tests.perf.bench_affinity [--runs 1] [--replicas 3] [--conversations 48] [--turns 6]

Streamed conversations of several turns, a few of which share a system prompt, run through each way
to choose a replica: this router with prefix affinity, this router without it (power of two
choices), vllm-router's cache_aware and its round_robin. As people think before they go on, all
conversations have their first turn, then all their second, in another order. A replica's KV cache
holds fewer tokens (`--blocks`) than the conversations come to, and all replicas together hold more:
what a replica computed is there at the next turn only where conversations stay. With caches that
hold everything, every way finds nearly as much.

Ways are interleaved; every run has texts of its own, so that none finds what another left. Counted
are the engines' own prefix_cache_queries and _hits, in tokens, and the time to a turn's first event
with text (TTFT), in milliseconds. Writes build/bench/affinity.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.perf.router.gateways import VLLM_ROUTER, environment
from tests.support.ending import in_order
from tests.support.vllm import NAME, ROOT, Process, engines, free_port, hinf_router, start

SHARERS = 4
"""Conversations per system prompt."""
AT_ONCE = 8
BLOCK_TOKENS = 128
WORDS = (
    "licence",
    "work",
    "source",
    "program",
    "copy",
    "notice",
    "terms",
    "author",
    "modify",
    "covered",
)
WAYS = ("affinity", "power of two", "vllm-router cache_aware", "vllm-router round_robin")


class Talk:
    """One conversation.

    Args:
        run: begins its texts, so that no other run has them.
        number: of the conversation; a few in a row share a system prompt.
        options: of the command line.

    Attributes:
        times: every turn's time to the first token, in seconds.
    """

    def __init__(self, run: str, number: int, options: argparse.Namespace) -> None:
        tenant = f"{run} tenant {number // SHARERS}"
        system = f"{tenant}. {_words(tenant, options.system_words)}"
        self.times: list[float] = []
        self._messages = [{"role": "system", "content": system}]
        self._name, self._words = f"{run} {number}", options.turn_words

    def go_on(self, port: int) -> None:
        """Have one more turn."""
        words = _words(f"{self._name} {len(self.times)}", self._words)
        self._messages.append({"role": "user", "content": f"{self._name} {words}"})
        text, seconds = ask(port, self._messages)
        self.times.append(seconds)
        self._messages.append({"role": "assistant", "content": text or "-"})


def ask(port: int, messages: Sequence[dict[str, str]]) -> tuple[str, float]:
    """Return the answer to a chat, and the seconds until the first event with text."""
    body = {
        "model": NAME, "messages": messages, "max_tokens": 16, "temperature": 0, "stream": True,
    }  # fmt: skip
    text, first = "", 0.0
    with closing(HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        headers = {"content-type": "application/json"}
        began = time.monotonic()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read()!r}")
        for line in reply:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                said = choices[0]["delta"].get("content") if choices else None
                first = first or (time.monotonic() - began if said else 0.0)
                text += said or ""
    return text, first


def _words(seed: str, count: int) -> str:
    """Return words that depend on the seed."""
    state, said = sum(seed.encode()) + len(seed), []
    for _ in range(count):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        said.append(WORDS[state % len(WORDS)])
    return " ".join(said)


def cache(found: Sequence[Process]) -> tuple[float, float]:
    """Return the tokens that all engines looked for in their caches, and found."""
    asked = hit = 0.0
    for engine in found:
        with closing(HTTPConnection("127.0.0.1", engine.port, timeout=30)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        for line in text.splitlines():
            if line.startswith("vllm:prefix_cache_queries_total"):
                asked += float(line.rpartition(" ")[2])
            elif line.startswith("vllm:prefix_cache_hits_total"):
                hit += float(line.rpartition(" ")[2])
    return asked, hit


@contextmanager
def gateway(way: str, found: Sequence[Process], folder: Path) -> Iterator[int]:
    """Run what chooses the replica; yield its port."""
    if way.startswith("vllm-router"):
        port = free_port()
        command = [
            str(environment(VLLM_ROUTER) / "bin" / "vllm-router"), "--worker-urls",
            *[f"http://127.0.0.1:{engine.port}" for engine in found],
            "--policy", way.split()[1], "--host", "127.0.0.1", "--port", str(port),
            "--prometheus-port", str(free_port()), "--log-level", "error",
        ]  # fmt: skip
        process = start(command, port, folder / "peer.log")
        try:
            process.wait("/v1/models", 60)
            yield port
        finally:
            process.kill()
        return
    urls = [f"http://127.0.0.1:{engine.port}/v1" for engine in found]
    patient = {"firstByte": 300, "connect": 30}
    local = {"trust": "internal", "engine": "vllm", "urls": urls, "timeouts": patient}
    table = {
        "backends": {"local": local},
        "models": {NAME: {"targets": [{"backend": "local", "model": NAME}]}},
        "policy": {"prefixAffinity": way == "affinity", "deadline": 300},
    }
    with hinf_router(table, folder) as process:
        yield process.port


def measure(
    way: str, found: Sequence[Process], folder: Path, run: str, options: argparse.Namespace
) -> dict[str, float]:
    """Return the hit rate of one run, and its times to the first token in seconds."""
    with gateway(way, found, folder) as port, ThreadPoolExecutor(AT_ONCE) as pool:
        asked, hit = cache(found)
        talks = [Talk(run, number, options) for number in range(options.conversations)]
        draw = random.Random(1)  # noqa: S311  no secret; the same order for every way
        for _ in range(options.turns):
            order = draw.sample(talks, len(talks))
            list(pool.map(lambda talk: talk.go_on(port), order))
        asked_after, hit_after = cache(found)
    times = sorted(seconds for talk in talks for seconds in talk.times if seconds)
    return {
        "hit_rate": (hit_after - hit) / max(1.0, asked_after - asked),
        "prompt_tokens": asked_after - asked,
        "ttft_p50": statistics.median(times),
        "ttft_p90": times[len(times) * 9 // 10],
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=240, help="of 128 tokens, in each KV cache")
    parser.add_argument("--conversations", type=int, default=48)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--system-words", type=int, default=100)
    parser.add_argument("--turn-words", type=int, default=120)
    parser.add_argument("--engines", metavar="PORT,PORT", help="some that run already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.engines:
            nobody = subprocess.Popen(["true"])
            ports = [int(port) for port in options.engines.split(",")]
            results = compare([Process(p, nobody, folder) for p in ports], folder, options)
            nobody.wait()
        else:
            small = f"--block-size={BLOCK_TOKENS}", f"--num-gpu-blocks-override={options.blocks}"
            with engines(options.replicas, "reciting-model", folder, *small) as found:
                results = compare(found, folder, options)
    write(results, options)
    return 0


def compare(
    found: Sequence[Process], folder: Path, options: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Return the results of every way, runs interleaved."""
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for run in range(options.runs):
        for way in WAYS:
            salt = f"{os.urandom(6).hex()} {run}"
            results[way].append(measure(way, found, folder, salt, options))
            sys.stderr.write(f"bench-affinity: run {run + 1}, {way}: {results[way][-1]}\n")
    return results


def write(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Write and print the table of medians."""
    head = (
        f"{options.conversations} conversations of {options.turns} turns of {options.turn_words} "
        f"words, {SHARERS} per system prompt of {options.system_words} words, {AT_ONCE} requests "
        f"at once, {options.replicas} vLLMs whose KV caches hold {options.blocks * BLOCK_TOKENS} "
        f"tokens each; medians of {options.runs} interleaved runs."
    )
    lines = [
        head,
        "",
        "| replica chosen by | prompt tokens found in a cache | runs | TTFT p50, ms | p90, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for way, runs in results.items():
        rates = [run["hit_rate"] for run in runs]
        low, high = min(rates), max(rates)
        half, most = (
            statistics.median(run[name] for run in runs) * 1000 for name in ("ttft_p50", "ttft_p90")
        )
        lines.append(
            f"| {way} | {statistics.median(rates):.1%} | {low:.1%} to {high:.1%} "
            f"| {half:.0f} | {most:.0f} |"
        )
    text = "\n".join(lines) + "\n"
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "affinity.md").write_text(text)
    (folder / "affinity.json").write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(in_order(main))
