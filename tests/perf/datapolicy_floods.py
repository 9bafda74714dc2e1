"""What texts that are made to be dear cost a router, for `make bench-datapolicy`."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

from hybrid_router.datapolicy.budget import FEW_PLACES, MOST_PLACES
from tests.support.personal_data.floods import OTHERS, flood, units

if TYPE_CHECKING:
    from hybrid_router.datapolicy.gate import Broken, Gate

SIZES_KB = (30, 60, 120, 240)
DEAREST = 6
"""Rows of those that cost most on the event loop; the named ones come behind."""


def _ms(gate: Gate | Broken, unit: str, kilobytes: int, most: int) -> tuple[float, bool]:
    """Return the CPU milliseconds of a judgement, the less of two, and whether it is lengthy."""
    text = flood(unit, kilobytes * 1024)
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False)
    data, times, lengthy = body.encode(), [], False
    for _ in range(2):
        before = time.process_time()
        lengthy = gate.judge(data, most).lengthy
        times.append((time.process_time() - before) * 1000)
    return min(times), lengthy


def table(gate: Gate | Broken) -> list[str]:
    """Return, in Markdown, what each text costs on the event loop, and the dearest in a thread."""
    on_loop = {unit: _ms(gate, unit, SIZES_KB[-1], FEW_PLACES) for unit in {u for _, u in units()}}
    dearest = sorted(on_loop, key=lambda unit: -on_loop[unit][0])[:DEAREST]
    most, half = on_loop[dearest[0]][0], statistics.median(ms for ms, _ in on_loop.values())
    lines = [
        f"{len(on_loop)} texts made to be dear, {SIZES_KB[-1]} KB each, take {most:.0f} ms of the "  # noqa: ISC004
        f"event loop at most; half of them less than {half:.1f} ms.",
        "",
        "| over and over | " + " | ".join(f"µs/KB at {kb} KB" for kb in SIZES_KB) + " | then |",
        "|---|" + "---|" * (len(SIZES_KB) + 1),
    ]
    named = {unit: f"{name} ({json.dumps(unit)})" for name, unit in OTHERS.items()}
    for unit in [*dearest, *(unit for unit in named if unit not in dearest)]:
        each = [f"{_ms(gate, unit, kb, FEW_PLACES)[0] * 1000 / kb:.0f}" for kb in SIZES_KB]
        then = "done"
        if on_loop[unit][1]:
            then = f"{_ms(gate, unit, SIZES_KB[-1], MOST_PLACES)[0]:.0f} ms in a thread"
        name = named.get(unit, json.dumps(unit)).replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(each)} | {then} |")
    return lines
