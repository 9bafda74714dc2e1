"""Counters and histograms for one thread.

Those of `prometheus_client` take a lock and check themselves at every step: 6 µs of a request that
counts ten things. The event loop is the only one that counts here, so that a number is enough; what
Prometheus reads is made of the numbers when it asks.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry


class Count:
    """One series of a counter: add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count `amount` more."""
        self.value += amount


class Counter(Collector):
    """A counter; its series are made when they are first asked for."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._series: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Return the series of these values, in the order of the labels; hold on to it."""
        return self._series.setdefault(values, Count())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter as Prometheus' client writes it."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            family.add_metric(values, series.value)
        yield family


class Distribution:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histogram(Collector):
    """A histogram; `bounds` are its buckets' upper bounds without the infinite one."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: tuple[float, ...],
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._series: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """Return the series of these values, in the order of the labels; hold on to it."""
        return self._series.setdefault(values, Distribution(self._bounds))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram as Prometheus' client writes it."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        bounds = (*self._bounds, float("inf"))
        names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        for values, series in self._series.items():
            buckets, below = [], 0
            for name, count in zip(names, series.counts, strict=True):
                below += count
                buckets.append((name, float(below)))
            family.add_metric(values, buckets, series.total)
        yield family
