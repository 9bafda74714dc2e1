"""Samples of some metrics in Prometheus text, as routers and engines write it: pure.

Most of a page is histograms that nobody reads, so that one expression finds the lines that somebody
does. The parser of prometheus-client takes 30 us for each of those: for what 2,000 routers tell of
what went past their models, nearly a second of every look. This takes a sixth.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_REST = re.compile(r"(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_STARTED = "\nprocess_start_time_seconds "
_LABEL = re.compile(r'\b(\w+)="((?:[^"\\]++|\\.)*+)"')
"""Linear in the line, whatever a pod says: a name begins at a word, and nothing is tried twice."""


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: dict[str, str]
    """As they are written: what is read here has nothing to escape."""
    value: float


def lines(names: Iterable[str], rest: str = "(.*)") -> re.Pattern[str]:
    """Return what finds all samples of some metrics, each after a line break.

    Args:
        names: Of the metrics.
        rest: An expression for what follows a name, to the end of its line.
    """
    return re.compile(rf"\n({'|'.join(sorted(names))})(?![^{{\s]){rest}")


def samples(found: re.Pattern[str], text: str) -> Iterator[Sample]:
    """Return what `lines` finds in a page.

    Raises:
        ValueError: see `sample`.
    """
    return (sample(name, rest) for name, rest in found.findall(f"\n{text}"))


def started(text: str) -> float:
    """Return when a page's process started, in seconds since 1970; 0: it does not say.

    Several API server processes of one vLLM do not. It is looked for apart from all else, whose
    names begin alike: an expression for names that do not finds them slower.

    Raises:
        ValueError: see `number`.
    """
    at = text.find(_STARTED)
    if at < 0:
        return 0.0
    at += len(_STARTED)
    return number(_STARTED.strip(), text[at : at + 60].partition("\n")[0].strip())


def sample(name: str, rest: str) -> Sample:
    """Return what a line says that begins with a name.

    Raises:
        ValueError: it is not a sample, or see `number`.
    """
    found = _REST.fullmatch(rest)
    if found is None:
        raise ValueError(f"{f'{name}{rest}'[:60]!r} is not a sample")
    return Sample(name, dict(_LABEL.findall(found[1] or "")), number(name, found[2]))


def number(name: str, text: str) -> float:
    """Return a value; all that are read count something.

    Raises:
        ValueError: it is no number, negative or infinite.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {text[:20]}")
    return value
