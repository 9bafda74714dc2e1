"""Samples of some metrics in Prometheus text, as routers and engines write it: pure.

Most of a page is metrics that nobody reads. All lines of one stand together, so the text format has
it, and a release writes its metrics in an order of its own: who asks for them in that order has a
page searched once. The parser of prometheus-client takes 30 us for each line that is read; this
takes a sixth.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_REST = re.compile(r"(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_STARTED = "process_start_time_seconds"
_NEXT = ("\n# HELP ", "\n# TYPE ")
"""What stands before another metric's lines."""
_LABEL = re.compile(r'\b(\w+)="((?:[^"\\]++|\\.)*+)"')
"""Linear in the line, whatever a pod says: a name begins at a word, and nothing is tried twice."""
_LONGEST = 32
"""Characters of a bucket's bound."""
_OTHER = r'(?!le=)\w+="[^"\\\n]*+"'
_BUCKET = rf'\{{(?:{_OTHER},)*+le="([^"\\\n]{{1,{_LONGEST}}}+)"(?:,{_OTHER})*+\}} (\S+)(?=\n|$)'
"""A bound and what is counted up to it, wherever `le` stands among labels without escapes."""
_READ = 64
"""Names of metrics that are read, at most."""


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: dict[str, str]
    """As they are written: what is read here has nothing to escape."""
    value: float


class Page:
    """What a pod said, metric by metric."""

    def __init__(self, text: str) -> None:
        self._text = f"\n{text}"
        self._at = 0

    def values(self, name: str) -> list[float]:
        """Return a metric's values, whatever their labels.

        Raises:
            ValueError: see `sample`.
        """
        return [number(name, _matched(name, rest)[2]) for rest in self._rests(name)]

    def samples(self, *names: str) -> Iterator[Sample]:
        """Return the lines of some metrics.

        Raises:
            ValueError: see `sample`.
        """
        return (sample(name, rest) for name in names for rest in self._rests(name))

    def buckets(self, name: str) -> dict[float, float]:
        """Return what a histogram's `..._bucket` lines count by upper bound, over all labels.

        Raises:
            ValueError: see `sample`, or a bound is none.
        """
        group = self._group(name)
        pairs, rests = _buckets(name).findall(group), _rests(name).findall(group)
        if len(pairs) != len(rests):
            pairs = [_bucket(name, rest) for rest in rests]
        found: dict[float, float] = {}
        for le, value in pairs:
            bound = _bound(name, le)
            found[bound] = found.get(bound, 0.0) + number(name, value)
        return found

    def started(self) -> float:
        """Return when the page's process started, in seconds since 1970; 0: it does not say.

        Several API server processes of one vLLM do not.

        Raises:
            ValueError: see `sample`.
        """
        return max(self.values(_STARTED), default=0.0)

    def _rests(self, name: str) -> list[str]:
        return _rests(name).findall(self._group(name))

    def _group(self, name: str) -> str:
        """Return all lines of a metric, and maybe others; searched from the one before on."""
        found = self._find(name, self._at)
        if found < 0 < self._at:
            found = self._find(name, 0)
        if found < 0:
            return ""
        self._at = self._end(found)
        return self._text[found : self._at]

    def _find(self, name: str, at: int) -> int:
        head, text = f"\n{name}", self._text
        while (at := text.find(head, at)) >= 0:
            if text[at + len(head) : at + len(head) + 1] in ("{", " ", "\n", "\t", ""):
                break
            at += len(head)
        return at

    def _end(self, at: int) -> int:
        while (at := self._text.find("\n# ", at + 1)) >= 0:
            if self._text.startswith(_NEXT, at):
                return at
        return len(self._text)


def sample(name: str, rest: str) -> Sample:
    """Return what a line says that begins with a name.

    Raises:
        ValueError: it is not a sample, or see `number`.
    """
    found = _matched(name, rest)
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


def _matched(name: str, rest: str) -> re.Match[str]:
    found = _REST.fullmatch(rest)
    if found is None:
        raise ValueError(f"{f'{name}{rest}'[:60]!r} is not a sample")
    return found


def _bucket(name: str, rest: str) -> tuple[str, str]:
    found = _matched(name, rest)
    return dict(_LABEL.findall(found[1] or "")).get("le", ""), found[2]


@lru_cache(_READ)
def _rests(name: str) -> re.Pattern[str]:
    """Return what finds a metric's lines, each after a line break, without the name."""
    return re.compile(rf"\n{name}(?![^{{\s])(.*)")


@lru_cache(_READ)
def _buckets(name: str) -> re.Pattern[str]:
    return re.compile(rf"\n{name}{_BUCKET}")


@lru_cache(1024)
def _bound(name: str, text: str) -> float:
    try:
        bound = float(text) if len(text) <= _LONGEST else math.nan
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise ValueError(f"{name} has a bucket up to {text[:20]!r}")
    return bound
