"""`make bench-engine`: what a real vLLM does with prompts, batches and a mix, for the simulator.

    python -m tests.perf.bench_engine [--seconds 60] [--out build/bench/engine.csv]

A Llama with random weights (12 layers, 768 wide: 0.1 billion parameters) on this machine's CPU.
Rows of the CSV:

    prefill  one prompt of `prompt` tokens: seconds to its first token
    decode   `batch` requests at once: seconds of a step, from two lengths of answer
    mix      requests at random times (Poisson), streamed: when each came, its time to the first
             token and its mean time between tokens

tests/unit/scaling/test_scaling_engine.py holds the simulated engine to the file that is kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from tests.support.vllm import NAME, engines, made

PROMPTS = (64, 256, 512, 1024, 2048)
BATCHES = (1, 2, 4, 8, 16, 32)
SHORT, LONG = 8, 40
"""Tokens of answers whose difference in time is that of the steps between."""
RUNS = 5
"""Of which the least counts: what else the machine does only adds."""
RATE = 0.5
"""Requests a second of the mix."""
WIDE = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "num_hidden_layers": 12,
}


class Row(NamedTuple):
    """One measurement; 0 where a column says nothing."""

    what: str
    batch: int
    prompt: int
    generated: int
    arrived: float
    """Seconds since the mix began."""
    ttft_seconds: float
    itl_seconds: float


class Answer(NamedTuple):
    """Times in seconds."""

    first: float
    done: float


def ask(port: int, prompt: int, generated: int, seed: int) -> Answer:
    """Return how long a request took to its first and to its last token."""
    draw = random.Random(seed)  # noqa: S311  token ids
    body = {
        "model": NAME,
        "prompt": [draw.randrange(16, 4000) for _ in range(prompt)],
        "max_tokens": generated,
        "ignore_eos": True,
        "stream": True,
    }
    began, first = time.perf_counter(), 0.0
    with closing(HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        head = {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(body), head)
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read().decode()}")
        for line in reply:
            if not first and line.startswith(b"data: {"):
                first = time.perf_counter() - began
    return Answer(first, time.perf_counter() - began)


def prefill(port: int) -> list[Row]:
    found = []
    for prompt in PROMPTS:
        took = [ask(port, prompt, 1, prompt + 10_000 * run).done for run in range(RUNS)]
        found.append(Row("prefill", 1, prompt, 1, 0.0, min(took), 0.0))
        say(found[-1])
    return found


def decode(port: int) -> list[Row]:
    found = []
    for batch in BATCHES:
        steps = []
        for run in range(RUNS):
            took = [together(port, batch, length, run) for length in (SHORT, LONG)]
            steps.append((took[1] - took[0]) / (LONG - SHORT))
        found.append(Row("decode", batch, 16, LONG, 0.0, 0.0, min(steps)))
        say(found[-1])
    return found


def together(port: int, batch: int, generated: int, run: int) -> float:
    """Return the seconds until all of a batch have their answers."""
    began = time.perf_counter()
    with ThreadPoolExecutor(batch) as pool:
        list(pool.map(lambda each: ask(port, 16, generated, 100 * run + each), range(batch)))
    return time.perf_counter() - began


def mix(port: int, seconds: float) -> list[Row]:
    draw, at, plan = random.Random(1), 0.0, []  # noqa: S311  arrivals
    while at < seconds:
        plan.append((at, draw.randint(16, 600), draw.randint(4, 60)))
        at += draw.expovariate(RATE)
    began = time.perf_counter()

    def one(index: int) -> Row:
        at, prompt, generated = plan[index]
        time.sleep(max(at - (time.perf_counter() - began), 0.0))
        came = time.perf_counter() - began
        took = ask(port, prompt, generated, 50_000 + index)
        itl = (took.done - took.first) / (generated - 1)
        return Row("mix", 0, prompt, generated, came, took.first, itl)

    with ThreadPoolExecutor(len(plan)) as pool:
        return list(pool.map(one, range(len(plan))))


def say(row: Row) -> None:
    sys.stderr.write(f"{row}\n")


def wide(folder: Path) -> Path:
    """Return where a model is made: the tiny one's tokenizer and a wider configuration."""
    source, target = made("tiny-model"), folder / "model" / "current"
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text()) | WIDE
    (target / "config.json").write_text(json.dumps(config))
    return target.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the mix")
    parser.add_argument("--out", type=Path, default=Path("build/bench/engine.csv"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extra = ("--load-format", "dummy", "--no-enable-prefix-caching")
        with engines(1, str(wide(folder)), folder, *extra) as (engine,):
            ask(engine.port, 512, 8, 0)  # the first request compiles and allocates
            rows = prefill(engine.port) + decode(engine.port) + mix(engine.port, given.seconds)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows([*row[:4], *(f"{each:.4f}" for each in row[4:])] for row in rows)
    sys.stdout.write(f"{given.out}: {len(rows)} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
