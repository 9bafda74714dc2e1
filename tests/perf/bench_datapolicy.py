"""`make bench-datapolicy`: how well and how fast the detectors of the data policy find things.

Quality is measured on generated texts of the held-out template families, in ten languages
(tests/support/personal_data), spans compared by type and exact offsets. Speed is CPU time of one
thread, the median of 21 blocks; last come texts that are made to be dear, of which the dearest are
shown. PYTHONPATH=build/compiled measures the code as the image has it. With --presidio, presidio is
measured on the same texts: PYTHON is an interpreter of an environment that has presidio-analyzer
and a small English spaCy model.

    make bench-datapolicy                                             about 3 min
    .venv/bin/python -m tests.perf.bench_datapolicy --presidio PYTHON --model NAME
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import re2

from hybrid_router.datapolicy.detector import RUN, shape
from hybrid_router.datapolicy.gate import build
from hybrid_router.datapolicy.scanner import BUILT_IN, Scanner
from hybrid_router.table import TYPES, DataPolicy
from tests.perf import datapolicy_floods
from tests.perf.router.rows import DETECTORS
from tests.support.personal_data.score import Score, score
from tests.support.personal_data.texts import HELD_OUT, LANGUAGES, SEEN, labelled
from tests.support.personal_data.values import CHECKED

OUT = Path("build/bench")
SEED = 2026
BLOCKS = 21
LARGE = 65_536
PROSE = "The parcel arrived on Monday, and the manual explains how every part has to be mounted. "
PRESIDIO = Path(__file__).with_name("presidio_spans.py")


def cpu_us(call: Callable[[], object], repeat: int) -> float:
    """Return the CPU time of one call in microseconds: the median of blocks of `repeat` calls."""
    blocks = []
    for _ in range(BLOCKS):
        before = time.process_time()
        for _ in range(repeat):
            call()
        blocks.append((time.process_time() - before) / repeat * 1e6)
    return statistics.median(blocks)


def speeds(scanner: Scanner) -> dict[str, float]:
    """Return microseconds of CPU by what is scanned."""
    prose = PROSE * (LARGE // len(PROSE))
    dense = "\n".join(item.text for item in labelled(SEED, 400, SEEN))[:LARGE]
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": prose}]}).encode()
    small = json.dumps(
        {"model": "auto", "messages": [{"role": "user", "content": prose[:1024]}]}
    ).encode()
    gate = build(DataPolicy(keep_local=("payment-card", "secret"), redact=("email",)))
    words = _re2_set({each for d in BUILT_IN for each in d.words})
    shapes = _re2_set({RUN, *(each for d in BUILT_IN for each in d.shapes)})
    data = prose.encode()
    return {
        "scan, 10 bytes": cpu_us(lambda: scanner.scan("good day.."), 500),
        "scan, 1 KB of prose": cpu_us(lambda: scanner.scan(prose[:1024]), 300),
        "scan, 64 KB of prose": cpu_us(lambda: scanner.scan(prose), 20),
        "scan, 64 KB with 630 findings among as many look-alikes": cpu_us(
            lambda: scanner.scan(dense), 1
        ),
        "gate, request of 1 KB": cpu_us(lambda: gate.judge(small), 200),
        "gate, request of 64 KB": cpu_us(lambda: gate.judge(body), 20),
        "the same triggers as RE2's sets (which, not where), 64 KB": cpu_us(
            lambda: (words.Match(data), shapes.Match(shape(data))), 3
        ),
        "the forms one by one with Python's re, 64 KB": cpu_us(
            lambda: [list(d.form.finditer(data)) for d in BUILT_IN], 1
        ),
    }


def _re2_set(expressions: set[bytes]) -> Any:
    made = re2.Set.SearchSet()
    for expression in sorted(expressions):
        made.Add(expression.decode("latin-1"))
    made.Compile()
    return made


def presidio(python: str, model: str, count: int) -> tuple[Score, float]:
    """Return presidio's score on the first texts, and its milliseconds per KB."""
    texts = list(labelled(SEED, count, HELD_OUT))
    lines = "".join(json.dumps({"text": item.text}) + "\n" for item in texts)
    done = subprocess.run(
        [python, str(PRESIDIO), model], input=lines, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    found = {
        item.text: [(s["type"], s["start"], s["end"]) for s in answer["spans"]]
        for item, answer in zip(texts, answers, strict=True)
    }
    seconds = sum(answer["seconds"] for answer in answers)
    kilobytes = sum(len(item.text.encode()) for item in texts) / 1024
    return score(found.__getitem__, texts, exact=False), seconds * 1000 / kilobytes


def report(result: Score, times: dict[str, float], other: tuple[Score, float] | None) -> str:
    """Return the tables in Markdown."""
    lines = [
        (
            f"{platform.machine()}, Python {platform.python_version()}; `make bench-datapolicy`; "
            f"held-out families {', '.join(HELD_OUT)}; {len(LANGUAGES)} languages"
        ),
        "",
        "| type | precision | recall | F1 | spans |",
        "|---|---|---|---|---|",
    ]
    for type_ in sorted(result.true | result.missed):
        count = result.true[type_] + result.missed[type_]
        figures = (result.precision(type_), result.recall(type_), result.f1(type_))
        mark = " (check digits)" if type_ in CHECKED else ""
        lines.append(f"| {type_}{mark} | {' | '.join(f'{f:.3f}' for f in figures)} | {count} |")
    lines.append(_total("all", result))
    if other is not None:
        lines.append(_total("presidio, all, any overlap counts", other[0]))
    share = 100 * result.negatives_hit / result.negatives
    lines += ["", f"Hard negatives hit: {share:.2f} % of {result.negatives}."]
    if other is not None:
        share = 100 * other[0].negatives_hit / other[0].negatives
        lines.append(f"presidio: {share:.1f} % of them, {other[1]:.1f} ms per KB.")
    lines += ["", "| | CPU |", "|---|---|"]
    lines += [f"| {name} | {us:,.1f} µs |" for name, us in times.items()]
    return "\n".join(lines) + "\n"


def _total(name: str, result: Score) -> str:
    figures = (result.precision(), result.recall(), result.f1())
    count = result.true.total() + result.missed.total()
    return f"| **{name}** | {' | '.join(f'{f:.3f}' for f in figures)} | {count} |"


def main() -> None:
    """Measure, write build/bench/datapolicy.json and .md, and show the tables."""
    parser = argparse.ArgumentParser(
        "bench_datapolicy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--texts", type=int, default=4000, help="(default %(default)s)")
    parser.add_argument("--presidio", metavar="PYTHON", help="measure presidio as well")
    parser.add_argument("--model", default="en_core_web_sm", help="presidio's spaCy model")
    options = parser.parse_args()
    scanner = Scanner(TYPES)

    def find(text: str) -> list[tuple[str, int, int]]:
        return [(span.type, span.start, span.end) for span in scanner.scan(text)]

    result = score(find, labelled(SEED, options.texts, HELD_OUT))
    other = presidio(options.presidio, options.model, 600) if options.presidio else None
    times = speeds(scanner)
    text = report(result, times, other)
    floods = datapolicy_floods.table(build(msgspec.convert(DETECTORS, DataPolicy)))
    text = "\n".join([text, *floods, ""])
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "datapolicy.md").write_text(text)
    document: dict[str, Any] = {
        "precision": result.precision(),
        "recall": result.recall(),
        "f1": {type_: result.f1(type_) for type_ in sorted(result.true | result.missed)},
        "negatives_hit": result.negatives_hit / result.negatives,
        "cpu_us": times,
    }
    if other is not None:
        document["presidio"] = {"f1": other[0].f1(), "ms_per_kb": other[1]}
    (OUT / "datapolicy.json").write_text(json.dumps(document, indent=2) + "\n")
    print(text)  # noqa: T201  a command


if __name__ == "__main__":
    main()
