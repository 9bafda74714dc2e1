"""Request traces: read from CSV, transformed, or made up."""

from __future__ import annotations

import csv
import math
import random
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
"""Those of the Azure LLM inference traces (github.com/Azure/AzurePublicDataset)."""
DAY = 86_400.0


class TraceError(ValueError):
    """The file is not a trace; the message says where and why."""


class Request(NamedTuple):
    """One request."""

    at: float
    """Seconds since the first one."""
    prompt: int
    """Tokens."""
    generated: int
    """Tokens."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their arrival."""

    name: str
    requests: tuple[Request, ...]

    @property
    def seconds(self) -> float:
        """From the first to the last request."""
        return self.requests[-1].at if self.requests else 0.0


def read(path: Path) -> Trace:
    """Read a trace.

    Raises:
        TraceError: no such file, a column is missing, a value is none, or nothing is in it.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return Trace(path.stem, _requests(path, csv.DictReader(file)))
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: is not text in UTF-8") from None


def _requests(path: Path, rows: csv.DictReader[str]) -> tuple[Request, ...]:
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise TraceError(f"{path}: has no column {missing[0]}; needed are {', '.join(COLUMNS)}")
    found = []
    for row in rows:
        try:
            found.append(_request(row))
        except (ValueError, TypeError) as error:
            raise TraceError(f"{path}, line {rows.line_num}: {error}") from None
    if not found:
        raise TraceError(f"{path}: holds no request")
    found.sort()
    return tuple(each._replace(at=each.at - found[0].at) for each in found)


def _request(row: Mapping[str, str]) -> Request:
    # Azure writes seven digits of a second; datetime reads six.
    at = datetime.fromisoformat(row["TIMESTAMP"].strip()[:26]).timestamp()
    prompt, generated = int(row["ContextTokens"]), int(row["GeneratedTokens"])
    if prompt < 0 or generated < 0:
        raise ValueError("a request has fewer than 0 tokens")
    return Request(at, prompt, generated)


def stretched(trace: Trace, factor: float) -> Trace:
    """Return the trace with every pause `factor` times as long."""
    requests = tuple(each._replace(at=each.at * factor) for each in trace.requests)
    return Trace(f"{trace.name} stretched x{factor:g}", requests)


def multiplied(trace: Trace, factor: int) -> Trace:
    """Return the trace with `factor` requests within a second for every one."""
    requests = sorted(
        each._replace(at=each.at + copy / factor)
        for each in trace.requests
        for copy in range(factor)
    )
    return Trace(f"{trace.name} x{factor}", tuple(requests))


def daily(trace: Trace, days: int, seed: int = 1) -> Trace:
    """Return `days` days made of the trace again and again, thinned at night.

    By day all requests stay, at night one in ten does, with a cosine between; drawn by `seed`.
    """
    draw = random.Random(seed)  # noqa: S311  a simulation's
    length = trace.seconds + 1.0
    found = []
    for turn in range(math.ceil(days * DAY / length)):
        for each in trace.requests:
            at = turn * length + each.at
            share = 0.55 - 0.45 * math.cos(2 * math.pi * at / DAY)
            if at < days * DAY and draw.random() < share:
                found.append(each._replace(at=at))
    return Trace(f"{trace.name}, {days} days", _from_zero(found))


def bursts(hours: float, seed: int = 1) -> Trace:
    """Return a made-up trace: pauses of minutes, then bursts of 1 to 3 minutes at 4 requests/s."""
    draw = random.Random(seed)  # noqa: S311  a simulation's
    at, found = 0.0, []
    while at < hours * 3600:
        end = at + draw.uniform(60, 180)
        while at < end:
            found.append(Request(at, int(draw.lognormvariate(7, 1)), draw.randint(10, 400)))
            at += draw.expovariate(4.0)
        at += draw.expovariate(1 / 300)
    return Trace("bursts", _from_zero(found))


def _from_zero(requests: Iterable[Request]) -> tuple[Request, ...]:
    found = sorted(requests)
    return tuple(each._replace(at=each.at - found[0].at) for each in found)
