"""From samples to a table with targets: what is met, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.perf.router.gateways import OURS
from tests.perf.router.rows import CAUSE, DIRECT, ROWS, Samples

VLLM, LITELLM = "vllm-router", "litellm"
Medians = dict[str, dict[str, float]]
"""By gateway: the figures of one row, as medians over its rounds."""
Figures = dict[str, Medians]
"""By row."""


@dataclass(frozen=True)
class Target:
    """A figure that the router has to meet.

    Attributes:
        row: where it is measured.
        text: what is asked.
        found: ours, and what it may be at most (or has to be at least, with `least`).
    """

    row: str
    text: str
    found: tuple[str, str, str, float]
    """Our figure; the gateway and its figure that it is held against, times a factor."""
    least: bool = False


@dataclass(frozen=True)
class Bound:
    """A figure with a limit of its own."""

    row: str
    text: str
    figure: str
    limit: float


_CPU, _ADDED, _P99, _RATE = "cpu_us", "added_p50_us", "p99_us", "per_second"
TARGETS = (
    Target("chat-1k", "CPU per request at or below vllm-router's", (_CPU, VLLM, _CPU, 1.0)),
    Target("chat-1k", "added p50 at c=1 at or below its", (_ADDED, VLLM, _ADDED, 1.0)),
    Target("chat-1k", "p99 at c=64 at or below its", (_P99, VLLM, _P99, 1.0)),
    Target("chat-1k", "100 times LiteLLM's throughput", (_RATE, LITELLM, _RATE, 100.0), least=True),
    Target("chat-64k", "at least its requests per second", (_RATE, VLLM, _RATE, 1.0), least=True),
    Target("streams", "CPU per chunk at most 0.8 of its", (_CPU, VLLM, _CPU, 0.8)),
    Target("streams-armed", "CPU per chunk at most its", (_CPU, VLLM, _CPU, 1.0)),
)
BOUNDS = (
    Bound("streams", "added p99 per chunk under 1 ms", "added_p99_us", 1000.0),
    Bound("streams-large", "the same beside 20 MB bodies", "added_p99_us", 1000.0),
    Bound("memory", "RSS under 100 MB", "rss_mib", 95.4),
    Bound("memory", "RSS flat: last tenth against first, MiB", "grown_mib", 2.0),
    Bound("idle", "10,000 idle connections within 150 MB", "rss_mib", 143.1),
)
EXTRA_US = {"judged-1k": ("chat-1k", 150.0), "judged-64k": ("chat-64k", 300.0)}


def causes(samples: Samples) -> dict[str, str]:
    """Return why gateways have no figure in a row, by gateway."""
    found = {name: [s[CAUSE] for s in rounds if CAUSE in s] for name, rounds in samples.items()}
    return {name: texts[0] for name, texts in found.items() if texts}


def figures(row: str, samples: Samples) -> Medians:
    """Return a row's medians; none of a gateway that did not answer."""
    samples = {name: rounds for name, rounds in samples.items() if name not in causes(samples)}
    direct = [_flat(sample) for sample in samples.get(DIRECT, [])]
    found: Medians = {}
    for name, rounds in samples.items():
        flat = [_flat(sample) for sample in rounds]
        found[name] = {key: median(one[key] for one in flat) for key in flat[0]} if flat else {}
        if name != DIRECT and direct:
            found[name] |= _added(found[name], found.get(DIRECT, {}))
    if row == "memory":
        for name, rounds in samples.items():
            sizes = [sample["memory"]["rss_mib"] for sample in rounds]
            found[name] = {"rss_mib": max(sizes), "grown_mib": sizes[-1] - sizes[0]}
    return found


def judged(figures: Figures) -> list[dict[str, Any]]:
    """Return every target whose rows were measured: what was found, and whether it is met."""
    lines = []
    for target in TARGETS:
        row = figures.get(target.row, {})
        ours, name, other, factor = target.found
        if ours in row.get(OURS.name, {}) and other in row.get(name, {}):
            limit = row[name][other] * factor
            lines.append(_line(target.row, target.text, row[OURS.name][ours], limit, target.least))
    for bound in BOUNDS:
        row = figures.get(bound.row, {})
        if bound.figure in row.get(OURS.name, {}):
            found = row[OURS.name][bound.figure]
            lines.append(_line(bound.row, bound.text, found, bound.limit, least=False))
    for judged_row, (base, extra) in EXTRA_US.items():
        if judged_row in figures and base in figures:
            limit = figures[base][OURS.name][_CPU] + extra
            found = figures[judged_row][OURS.name][_CPU]
            text = f"CPU at most that of {base} and {extra:.0f} us"
            lines.append(_line(judged_row, text, found, limit, least=False))
    return lines


def markdown(
    figures: Figures, about: dict[str, Any], without: dict[str, dict[str, str]] | None = None
) -> str:
    """Return the table that is published.

    Args:
        figures: what was measured.
        about: when, where and by which command.
        without: by row, which gateways have no figure, and why.
    """
    measured = f"Measured {about['date']} on {about['machine']}"
    parts = [
        f"{measured}; {about['rounds']} interleaved rounds, medians: `{about['command']}`\n",
    ]
    for name, row in figures.items():
        parts.append(f"**{ROWS[name].text}** (`{name}`)\n")
        keys = [key for key in _COLUMNS if any(key in found for found in row.values())]
        parts.append(_table(["gateway", *(_COLUMNS[key] for key in keys)], [
            [gateway, *(_number(found.get(key)) for key in keys)] for gateway, found in row.items()
        ]))  # fmt: skip
        for gateway, cause in (without or {}).get(name, {}).items():
            parts.append(f"{gateway} has no figure: {cause}\n")
    lines = judged(figures)
    if lines:
        parts.append("**Targets**\n")
        parts.append(_table(["row", "asked", "found", "limit", ""], [
            [line["row"], line["text"], _number(line["found"]), _number(line["limit"]),
             "met" if line["met"] else "NOT met"]
            for line in lines
        ]))  # fmt: skip
    return "\n".join(parts)


_COLUMNS = {
    "per_second": "requests/s",
    "cpu_us": "CPU us",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "c1_p50_us": "p50 at c=1, us",
    "added_p50_us": "added p50 at c=1, us",
    "added_p99_us": "added p99 us",
    "chunks": "chunks",
    "rss_mib": "RSS MiB",
    "grown_mib": "grown MiB",
    "refused": "refused",
    "failed": "failed",
}


def _flat(sample: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return one round's figures: those under full load plain, those at concurrency 1 as `c1_`."""
    flat: dict[str, float] = {}
    for name, found in sample.items():
        prefix = "c1_" if name == "c1" else ""
        flat |= {prefix + key: float(value) for key, value in found.items()}
    return flat


def _added(found: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    added = {}
    if "c1_p50_us" in found and "c1_p50_us" in direct:
        added["added_p50_us"] = found["c1_p50_us"] - direct["c1_p50_us"]
    if found.get("chunks") and "p99_us" in direct:
        added["added_p99_us"] = found["p99_us"] - direct["p99_us"]
    return added


def _line(row: str, text: str, found: float, limit: float, least: bool) -> dict[str, Any]:  # noqa: FBT001
    met = found >= limit if least else found <= limit
    return {"row": row, "text": text, "found": found, "limit": limit, "met": met}


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
