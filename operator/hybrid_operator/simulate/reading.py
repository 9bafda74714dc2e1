"""Traces read from files: a CSV in the form of Azure's, or the access log of a router."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hybrid_operator.simulate.trace import Request, Trace, from_zero

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
"""Those of the Azure LLM inference traces (github.com/Azure/AzurePublicDataset)."""
MARK = '"request_id"'
"""In every line of an access log."""


class TraceError(ValueError):
    """The file is not a trace; the message says where and why."""


def read(path: Path) -> Trace:
    """Read a trace.

    An access log may be as `kubectl logs` gives it: in any order, mixed with other lines. Of it, a
    request counts when its tokens are known; what was the API's by policy, whatever replicas there
    are, is left out.

    Raises:
        TraceError: no such file, a column is missing, a value is none, or nothing is in it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: is not text in UTF-8") from None
    logged = any(MARK in line for line in lines)
    found = list(_logged(lines)) if logged else _rows(path, lines)
    if not found:
        what = "answered request for a local model, with its tokens" if logged else "request"
        raise TraceError(f"{path}: holds no {what}")
    return Trace(path.stem, from_zero(found))


def _rows(path: Path, lines: Sequence[str]) -> list[Request]:
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise TraceError(
            f"{path}: has no column {missing[0]}; needed are {', '.join(COLUMNS)}, or a router's "
            "access log"
        )
    found = []
    for row in rows:
        try:
            found.append(_row(row))
        except (ValueError, TypeError) as error:
            raise TraceError(f"{path}, line {rows.line_num}: {error}") from None
    return found


def _row(row: Mapping[str, str]) -> Request:
    moment = datetime.fromisoformat(row["TIMESTAMP"].strip())
    # Not a local time: an hour of it comes twice a year, and it would depend on the machine.
    at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    prompt, generated = int(row["ContextTokens"]), int(row["GeneratedTokens"])
    if prompt < 0 or generated < 0:
        raise ValueError("a request has fewer than 0 tokens")
    return Request(at, prompt, generated)


def _logged(lines: Sequence[str]) -> Iterator[Request]:
    for text in lines:
        start = text.find("{")
        if start < 0 or MARK not in text:
            continue
        try:
            line = json.loads(text[start:])
        except (ValueError, RecursionError):
            continue
        request = _request(line) if isinstance(line, dict) else None
        if request is not None:
            yield request


def _request(line: Mapping[str, Any]) -> Request | None:
    """Return the request that a line of an access log tells of."""
    prompt, generated = line.get("prompt_tokens", 0), line.get("completion_tokens", 0)
    ended, seconds = line.get("time"), line.get("seconds", 0.0)
    numbers = (prompt, generated, ended, seconds)
    known = all(isinstance(each, int | float) and math.isfinite(each) for each in numbers)
    if not known or prompt < 0 or generated < 0 or prompt + generated == 0:
        return None
    if line.get("type") == "outcome" or line.get("decision") == "api":
        return None
    return Request(ended - seconds, int(prompt), int(generated))
