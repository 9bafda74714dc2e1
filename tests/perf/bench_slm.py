"""What a real small language model says of labelled questions: `make bench-slm LABELS=FILE`.

SmolLM2-135M-Instruct (tests/cluster/smollm2) on a real vLLM on this machine's CPU is asked SIMPLE
or COMPLEX by the router's own classifier `slm`, one question at a time. The questions are drawn
from a fixed seed in rounds, one of every subject in each, so that wherever it ends all subjects
have equal parts. ROUNDS=50 is how many; what an earlier run has asked is not asked again. BARE=1
asks without the examples that stand before every request, and writes slm-bare.jsonl.

Writes build/bench/slm.jsonl, a line per question, without its text: `row` of the labels and its
`key`, `p` (null: no verdict), `seconds` it took, and `cpu`, the seconds that the engine worked.
`SCORES=build/bench/slm.jsonl make bench-recipes` holds it against the other scores. A question
takes nearly a second of one core.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from hybrid_router.classify import question
from hybrid_router.classify.prompt import Prompt
from hybrid_router.classify.slm import SlmClassifier
from hybrid_router.classify.training import labels
from hybrid_router.classify.training.labels import Label
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Backend, Classifier, RouteTable, Target, encode
from hybrid_router.telemetry.metrics import Metrics
from hybrid_router.upstream.client import UpstreamClient
from tests.support.vllm import NAME, ROOT, Process, engines

OUT = Path("build/bench")
MODEL = "smollm2"
SEED, ROUNDS, PATIENCE_S = 0, 50, 120.0
TICKS = os.sysconf("SC_CLK_TCK")
ENGINE = ("--dtype", "float32", "--enable-prefix-caching")
"""A CPU without instructions for bfloat16 is slower with it."""


def key(row: Label) -> str:
    """Return what a question is known by: a file of scores is of these labels or of none."""
    return hashlib.sha256(row.prompt.encode()).hexdigest()[:16]


def rounds(rows: Sequence[Label]) -> Iterator[list[int]]:
    """Yield the numbers of one question of every subject; ends when a subject has no more."""
    chance = random.Random(SEED)  # noqa: S311  a sample, not a secret
    of: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of.setdefault(row.subject, []).append(number)
    for subject in sorted(of):
        chance.shuffle(of[subject])
    for each in zip_longest(*(of[subject] for subject in sorted(of))):
        if None in each:
            return
        yield list(each)


def read(file: Path, rows: Sequence[Label]) -> dict[int, dict[str, Any]]:
    """Return what was said, by the question's number.

    Raises:
        ValueError: the file is of other labels.
    """
    found = {}
    for line in file.read_text().splitlines():
        said = json.loads(line)
        number = said["row"]
        if number >= len(rows) or key(rows[number]) != said["key"]:
            raise ValueError(f"{file}: is not of these labels; remove it, or give its LABELS")
        found[number] = said
    return found


def whole(said: dict[int, dict[str, Any]], rows: Sequence[Label]) -> list[int]:
    """Return the numbers of the rounds that were asked to their end."""
    done: list[int] = []
    for each in rounds(rows):
        if not all(number in said for number in each):
            break
        done += each
    return done


def worked(engine: Process) -> float:
    """Return the CPU seconds of an engine's processes."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) == engine.popen.pid:  # its process group
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


async def ask(engine: Process, rows: Sequence[Label], numbers: list[int], file: Path) -> None:
    """Ask one by one, and write each answer at once."""
    url = f"http://127.0.0.1:{engine.port}/v1"
    backend = Backend(trust="internal", urls=(url,), engine="vllm")
    registry, metrics, client = Registry(Metrics()), Metrics(), UpstreamClient()
    registry.offer(encode(RouteTable(backends={"engine": backend})), "file")
    target = Target(backend="engine", model=NAME)
    described = Classifier(type="slm", target=target, timeout=PATIENCE_S)
    classifier = SlmClassifier(described, registry, client, metrics)
    await classifier.classify(Prompt.from_text("Is this the first one?"))  # fills the prefix cache
    with file.open("a") as out:
        for count, number in enumerate(numbers, start=1):
            began, before = time.monotonic(), worked(engine)
            verdict = await classifier.classify(Prompt.from_text(rows[number].prompt))
            line = {
                "row": number, "key": key(rows[number]), "p": verdict.confidence,
                "error": verdict.error, "seconds": round(time.monotonic() - began, 4),
                "cpu": round(worked(engine) - before, 3),
            }  # fmt: skip
            print(json.dumps(line), file=out, flush=True)
            if count % 100 == 0:
                say(f"{count} of {len(numbers)} questions")
    await classifier.close()
    await client.close()


def report(said: Sequence[dict[str, Any]]) -> str:
    """Return how many gave a verdict, and what asking took."""
    judged = [each["p"] for each in said if each["p"] is not None]
    took = sorted(each["seconds"] for each in said)
    simple = sum(p >= 0.5 for p in judged) / max(len(judged), 1)
    return (
        "| questions | with a verdict | of them SIMPLE | ms, median | ms, 95th percentile "
        "| CPU ms of the engine, mean |\n|---|---|---|---|---|---|\n"
        f"| {len(said)} | {len(judged) / len(said):.1%} | {simple:.1%} "
        f"| {median(took) * 1e3:.0f} | {quantiles(took, n=20)[-1] * 1e3:.0f} "
        f"| {mean(each['cpu'] for each in said) * 1e3:.0f} |\n"
    )


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201  a program for the terminal


def main() -> int:
    """Ask, write and print."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, vLLM ends too
    rows = labels.read([Path(each) for each in os.environ["LABELS"].split(":")])
    wanted = [
        n for each in islice(rounds(rows), int(os.environ.get("ROUNDS", ROUNDS))) for n in each
    ]
    OUT.mkdir(parents=True, exist_ok=True)
    bare = bool(os.environ.get("BARE"))
    if bare:
        question.BEFORE = question.BEFORE[:1]
    file = OUT / ("slm-bare.jsonl" if bare else "slm.jsonl")
    known = read(file, rows) if file.exists() else {}
    numbers = [number for number in wanted if number not in known]
    if numbers:
        subprocess.run([ROOT / "tests" / "cluster" / MODEL], check=True)
        say(f"asking {len(numbers)} questions")
        with tempfile.TemporaryDirectory() as folder:  # noqa: SIM117
            with engines(1, MODEL, Path(folder), *ENGINE) as (engine,):
                asyncio.run(ask(engine, rows, numbers, file))
    said = read(file, rows)
    text = report([said[number] for number in whole(said, rows)])
    file.with_suffix(".md").write_text(text)
    say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
