"""`make bench-engine`: the simulator's engine held to a real vLLM on this machine's CPU.

    python -m tests.perf.bench_engine [--requests 40] [--load 0.6] [--rows FILE]

The engine is a Llama with random weights (8 layers, 512 wide: 30 million parameters). Prompts alone
and batches alone give the three rates by which the event model knows an engine
(`hybrid_operator.simulate.engine`): prefill, decode, and the fastest request. With these it replays
the mix, requests at random times (Poisson), as many a second as come to a share of what the engine
can do, and the times to the first token and between tokens are compared: with steps as long as vLLM
makes them, and with short ones, as the operator asks for where tokens must keep their distance.
Needs `tests/cluster/vllm-env` and `tests/cluster/tiny-model`; 9 minutes on an idle machine.

build/bench/engine.csv has the rows; `--rows` compares those of an earlier run instead of measuring:

    prefill  one prompt of `prompt` tokens: seconds to its first token
    decode   `batch` requests at once: seconds of a step, from two lengths of answer
    mix      when a request came, its time to the first token and its mean time between tokens;
             `batch` is what `--max-num-batched-tokens` was
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hybrid_operator.simulate.engine import BATCHED, SEQUENCES, Engine, Job
from tests.support.vllm import NAME, engines, made

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUT = Path("build") / "bench"
PROMPTS = (64, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16)
MIX_PROMPT, MIX_GENERATED = (16, 600), (4, 60)
"""Tokens of the mix's requests, from and to, all as likely."""
STEPS = (BATCHED, 16)
"""Tokens of a step: vLLM's own choice, and a short one."""
SHORT, LONG = 8, 40
"""Tokens of answers whose difference in time is that of the steps between."""
RUNS = 3
"""Of which the least counts: what else the machine does only adds."""
WIDE = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "num_hidden_layers": 8,
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


class Rates(NamedTuple):
    """What the event model knows of an engine, in tokens/s."""

    prefill: float
    decode: float
    fastest: float


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
        say(f"a prompt of {prompt} tokens: {min(took):.3f} s")
    return found


def decode(port: int) -> list[Row]:
    found = []
    for batch in BATCHES:
        steps = []
        for run in range(RUNS):
            took = [together(port, batch, length, run) for length in (SHORT, LONG)]
            steps.append((took[1] - took[0]) / (LONG - SHORT))
        found.append(Row("decode", batch, 16, LONG, 0.0, 0.0, min(steps)))
        say(f"a batch of {batch}: {1000 * min(steps):.1f} ms a step")
    return found


def together(port: int, batch: int, generated: int, run: int) -> float:
    """Return the seconds until all of a batch have their answers."""
    began = time.perf_counter()
    with ThreadPoolExecutor(batch) as pool:
        list(pool.map(lambda each: ask(port, 16, generated, 100 * run + each), range(batch)))
    return time.perf_counter() - began


def mix(port: int, count: int, rate: float, batched: int) -> list[Row]:
    """Send `count` requests at random times, `rate` a second in the mean."""
    draw, at, plan = random.Random(1), 0.0, []  # noqa: S311  arrivals
    for _ in range(count):
        plan.append((at, draw.randint(*MIX_PROMPT), draw.randint(*MIX_GENERATED)))
        at += draw.expovariate(rate)
    say(f"a mix of {count} requests in {at:.0f} s, steps of {batched} tokens")
    began = time.perf_counter()

    def one(index: int) -> Row:
        at, prompt, generated = plan[index]
        time.sleep(max(at - (time.perf_counter() - began), 0.0))
        came = time.perf_counter() - began
        took = ask(port, prompt, generated, 50_000 + index)
        itl = (took.done - took.first) / (generated - 1)
        return Row("mix", batched, prompt, generated, came, took.first, itl)

    with ThreadPoolExecutor(len(plan)) as pool:
        return list(pool.map(one, range(len(plan))))


def wide(folder: Path, size: Mapping[str, int] = WIDE) -> Path:
    """Return where a model is made: the tiny one's tokenizer and a wider configuration."""
    source, target = made("tiny-model"), folder / "model" / "current"
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text()) | dict(size)
    (target / "config.json").write_text(json.dumps(config))
    return target.parent


def measured(count: int, load: float) -> list[Row]:
    """Return what vLLMs that are started for it do; the mix takes `load` of the time of one."""
    alone: list[Row] = []
    mixes: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = str(wide(folder))
        for batched in STEPS:
            say("starting vLLM")
            with engines(1, model, folder, *arguments(batched)) as (engine,):
                ask(engine.port, 512, 8, 0)  # the first request compiles and allocates
                alone = alone or [*prefill(engine.port), *decode(engine.port)]
                of = rates(alone)
                takes = sum(MIX_PROMPT) / 2 / of.prefill + sum(MIX_GENERATED) / 2 / of.decode
                mixes += mix(engine.port, count, load / takes, batched)
    return [*alone, *mixes]


def arguments(batched: int) -> tuple[str, ...]:
    """Return those of vLLM, for steps of so many tokens."""
    limits = f"--max-num-batched-tokens={batched}", f"--max-num-seqs={min(batched, SEQUENCES)}"
    return "--load-format", "dummy", "--no-enable-prefix-caching", *limits


def rates(rows: Sequence[Row]) -> Rates:
    """Return the rates of the engine: prefill by least squares over the lengths of prompts."""
    prompts = [row for row in rows if row.what == "prefill"]
    lengths, took = [row.prompt for row in prompts], [row.ttft_seconds for row in prompts]
    slope = statistics.linear_regression(lengths, took).slope
    steps = {row.batch: row.itl_seconds for row in rows if row.what == "decode"}
    most = max(batch / step for batch, step in steps.items())
    return Rates(1 / slope, most, 1 / steps[1])


def replayed(rows: Sequence[Row], of: Rates, batched: int) -> list[Row]:
    """Return a mix as the simulated engine answers it."""
    engine = Engine(of.prefill, of.decode, ready_at=0.0, fastest=of.fastest, batched=batched)
    jobs = []
    for row in sorted(rows, key=lambda row: row.arrived):
        engine.advance(row.arrived)
        jobs.append(Job(row.arrived, row.prompt, row.generated))
        engine.add(jobs[-1])
    while engine.active:
        engine.advance(engine.next_event())
    found = []
    for job in jobs:
        assert job.first_token is not None
        assert job.done is not None
        first, steps = job.first_token - job.arrived, max(job.generated - 1, 1)
        itl = (job.done - job.first_token) / steps
        found.append(Row("mix", batched, job.prompt, job.generated, job.arrived, first, itl))
    return found


def table(rows: Sequence[Row]) -> tuple[dict[str, float], str]:
    """Return the figures, and the same as a Markdown table."""
    of = rates(rows)
    figures = {f"{name}_tokens_per_s": value for name, value in of._asdict().items()}
    lines = [f"Engine: {', '.join(f'{name} {value:.0f}' for name, value in of._asdict().items())}"]
    lines[0] += " tokens/s.\n"
    lines += ["| steps of | of the mix | vLLM | simulated | ratio |", "|---|---|---|---|---|"]
    for batched in STEPS:
        real = [row for row in rows if (row.what, row.batch) == ("mix", batched)]
        both = real, replayed(real, of, batched)
        for name, field in (("to the first token", "ttft"), ("between tokens", "itl")):
            times = [sorted(getattr(row, f"{field}_seconds") for row in each) for each in both]
            for share in (50, 90):
                here, there = (each[round(share / 100 * (len(each) - 1))] for each in times)
                figures[f"{field}_p{share}_ratio_of_{batched}"] = there / here
                ms = f"{1000 * here:.0f} ms | {1000 * there:.0f} ms"
                what = f"{batched} tokens | time {name}, p{share}"
                lines.append(f"| {what} | {ms} | {there / here:.2f} |")
    return figures, "\n".join(lines) + "\n"


def read(path: Path) -> list[Row]:
    """Return the rows of an earlier run."""
    with path.open(newline="") as file:
        return [
            Row(row["what"], int(row["batch"]), int(row["prompt"]), int(row["generated"]),
                float(row["arrived"]), float(row["ttft_seconds"]), float(row["itl_seconds"]))
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows([*row[:4], *(f"{each:.4f}" for each in row[4:])] for row in rows)


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Measure, or read; write build/bench/engine.csv, .json and .md; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=40, help="of the mix (default 40)")
    parser.add_argument(
        "--load",
        type=float,
        default=0.6,
        help="share of the engine's time that the mix takes (default 0.6)",
    )
    parser.add_argument("--rows", type=Path, help="compare these instead of measuring")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, vLLM ends too
    rows = read(given.rows) if given.rows else measured(given.requests, given.load)
    if not given.rows:
        write(OUT / "engine.csv", rows)
    figures, text = table(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "engine.json").write_text(json.dumps(figures, indent=2) + "\n")
    (OUT / "engine.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
