"""From outcomes to a calibration state: one monotone map per intent, drawn to what was shipped.

A map is Platt's, on log-odds. Its prior is not a penalty on its parameters but outcomes that are
made up: as many as `PRIOR`, spread over the scores, that agree with the map before. So a handful of
outcomes moves little, hundreds speak for themselves, and none leave every confidence as it is. An
intent is drawn to the map of all intents together, in which no intent counts above `SHARE`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from hybrid_router.core.calibration import corrected, log_odds, probability
from hybrid_router.core.cost import down
from hybrid_router.table import BINS, EVERY, Calibration, HeldOut, Map, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_router.classify.parameters import Point
    from hybrid_router.outcomes.log import Example, Log

PRIOR = 100.0
"""Outcomes that the map before counts for."""
SHARE = 5.0
"""Outcomes that one intent counts for, at most, in the map of all."""
GRID = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Log-odds at which the prior's outcomes lie: from 0.12 to 0.95."""
LEAST_SLOPE, MOST_SLOPE = 0.05, 20.0
LEAST_OUTCOMES = 30
"""Of local answers; fewer are no ground for a state."""
FOLDS = 5
LEAST_DECISIONS = 200
"""For a curve of one's own."""
LEAST_API = 50
"""Judged answers of the API below which they count as good, all of them."""
_POINTS = 60
_ROUNDS = 50
_CLOSE = 1e-9
_Row = tuple[float, float, float]
"""Log-odds said, outcome, weight."""


def fit_map(examples: Sequence[Example], prior: Map) -> Map:
    """Return the map that outcomes and prior agree on best; increasing, whatever they are."""
    if not examples:
        return prior
    rows: list[_Row] = [(log_odds(e.score), e.outcome, e.weight) for e in examples]
    for z in GRID:
        said = probability(prior.slope * z + prior.offset)
        rows.append((z, said, PRIOR / len(GRID)))
    slope, offset = _newton(rows, (prior.slope, prior.offset))
    if not LEAST_SLOPE <= slope <= MOST_SLOPE:
        slope = min(max(slope, LEAST_SLOPE), MOST_SLOPE)
        slope, offset = _newton(rows, (slope, offset), free=False)
    return Map(slope=round(slope, 6), offset=round(offset, 6), outcomes=len(examples))


def _newton(
    rows: Sequence[_Row], start: tuple[float, float], *, free: bool = True
) -> tuple[float, float]:
    """Minimise the log loss, which is convex; with `free` false the slope stays."""
    a, b = start
    loss = _loss(rows, a, b)
    for _ in range(_ROUNDS):
        ga = gb = haa = hab = hbb = 0.0
        for z, y, w in rows:
            p = probability(a * z + b)
            d, h = w * (p - y), w * p * (1.0 - p)
            ga, gb = ga + d * z, gb + d
            haa, hab, hbb = haa + h * z * z, hab + h * z, hbb + h
        haa, hbb = haa + _CLOSE, hbb + _CLOSE
        if free:
            det = haa * hbb - hab * hab
            da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
        else:
            da, db = 0.0, gb / hbb
        step = 1.0
        while step > _CLOSE and _loss(rows, a - step * da, b - step * db) > loss:
            step /= 2
        a, b = a - step * da, b - step * db
        before, loss = loss, _loss(rows, a, b)
        if before - loss < _CLOSE:
            break
    return a, b


def _loss(rows: Sequence[_Row], a: float, b: float) -> float:
    return sum(w * log_loss(probability(a * z + b), y) for z, y, w in rows)


def log_loss(said: float, outcome: float) -> float:
    """Return the log loss of a probability; bounded, as a bad outcome at 1.0 would not be."""
    p = min(max(said, _CLOSE), 1.0 - _CLOSE)
    return -(outcome * math.log(p) + (1.0 - outcome) * math.log(1.0 - p))


def fit_maps(examples: Sequence[Example]) -> dict[str, Map]:
    """Return the maps of all intents that have outcomes, and the one for the others."""
    by_intent: dict[str, list[Example]] = {}
    for example in examples:
        by_intent.setdefault(example.intent, []).append(example)
    evened = {intent: _evened(group) for intent, group in by_intent.items()}
    every = fit_map([e for group in evened.values() for e in group], Map())
    maps = {EVERY: Map(slope=every.slope, offset=every.offset, outcomes=len(examples))}
    for intent, group in sorted(by_intent.items()):
        others = [e for name, g in evened.items() if name != intent for e in g]
        maps[intent] = fit_map(group, fit_map(others, Map()))  # its own must not count twice
    return maps


def _evened(group: Sequence[Example]) -> list[Example]:
    """Return an intent's outcomes with what they count in the map of all."""
    scale = min(1.0, SHARE / sum(e.weight for e in group))
    return [replace(e, weight=e.weight * scale) for e in group]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one intent, or all."""

    intent: str
    outcomes: int
    good: float
    """Mean outcome."""
    said: tuple[float, float]
    """Mean confidence before and after, on outcomes held out."""
    ece: tuple[float, float]
    brier: tuple[float, float]


@dataclass(slots=True)
class Fitted:
    """A state and how good it is."""

    state: Calibration
    rows: list[Row] = field(default_factory=list)
    local: tuple[float, float] = (0.0, 0.0)
    """Share of decisions at the threshold or above, before and after."""
    at_quality: tuple[float, float] = (0.0, 0.0)
    """Largest share that keeps the quality, before and after, by the confidences after."""
    api_good: float = 1.0
    unseen: tuple[float, float] = (0.0, 0.0)
    """Lowest score with an outcome, and the share of decisions below it."""

    @property
    def better(self) -> bool:
        """Whether the state is no worse on outcomes held out."""
        held = self.state.held_out
        return held.log_loss_after <= held.log_loss_before


def fit(
    log: Log,
    before: Calibration | None,
    threshold: float,
    quality: float,
    created: str,
    shipped: Sequence[Point] = (),
) -> Fitted:
    """Fit a state.

    Args:
        log: decisions and outcomes.
        before: the state in force; its maps are what is compared with. None: the classifier alone.
        threshold: confidence from which a request is local, for the figures.
        quality: share of the API's quality, likewise.
        created: when, in RFC 3339.
        shipped: the classifier's own curve, by which quality goes while the API is not judged.
    """
    was = before.maps if before is not None else {}
    maps = fit_maps(log.examples)
    held = _held_out(log.examples, was)
    good = _api_good(log.api)
    scores = [0] * BINS
    for d in log.decisions:
        scores[min(int(d.score * BINS), BINS - 1)] += 1
    after = [corrected(maps, d.intent, d.score) for d in log.decisions]
    earlier = [corrected(was, d.intent, d.score) for d in log.decisions]
    state = Calibration(
        classifier=log.classifier,
        model=log.model,
        maps=maps,
        held_out=_summary(held),
        created=created,
        served=log.served,
        reference=tuple(scores),
        curve=_curve_of(log, after, good, shipped),
    )
    lowest = min((e.score for e in log.examples), default=1.0)
    return Fitted(
        state,
        _rows(held),
        (_share(earlier, threshold), _share(after, threshold)),
        _at_quality(log, (earlier, after), state, quality),
        good,
        (lowest, sum(d.score < lowest for d in log.decisions) / max(len(log.decisions), 1)),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    example: Example
    before: float
    after: float


def _held_out(examples: Sequence[Example], was: Mapping[str, Map]) -> list[_Held]:
    """Return every outcome with the confidence before, and by maps that never saw it."""
    fold = [_fold(e.request_id) for e in examples]
    held = []
    for number in range(FOLDS):
        maps = fit_maps([e for e, f in zip(examples, fold, strict=True) if f != number])
        held += [
            _Held(e, corrected(was, e.intent, e.score), corrected(maps, e.intent, e.score))
            for e, f in zip(examples, fold, strict=True)
            if f == number
        ]
    return held


def _fold(request_id: str) -> int:
    return hashlib.blake2b(request_id.encode(), digest_size=4).digest()[0] % FOLDS


def _summary(held: Sequence[_Held]) -> HeldOut:
    total = sum(h.example.weight for h in held) or 1.0

    def mean(values: list[float]) -> float:
        return round(
            sum(v * h.example.weight for v, h in zip(values, held, strict=True)) / total, 6
        )

    return HeldOut(
        outcomes=len(held),
        log_loss_before=mean([log_loss(h.before, h.example.outcome) for h in held]),
        log_loss_after=mean([log_loss(h.after, h.example.outcome) for h in held]),
        brier_before=mean([(h.before - h.example.outcome) ** 2 for h in held]),
        brier_after=mean([(h.after - h.example.outcome) ** 2 for h in held]),
    )


def _rows(held: Sequence[_Held]) -> list[Row]:
    intents = sorted({h.example.intent for h in held})
    groups = [(intent, [h for h in held if h.example.intent == intent]) for intent in intents]
    return [_row(name, group) for name, group in (*groups, ("all", list(held))) if group]


def _row(intent: str, held: Sequence[_Held]) -> Row:
    outcomes = [h.example.outcome for h in held]
    sides = [[h.before for h in held], [h.after for h in held]]
    n = len(held)
    return Row(
        intent,
        n,
        sum(outcomes) / n,
        (sum(sides[0]) / n, sum(sides[1]) / n),
        (calibration_error(sides[0], outcomes), calibration_error(sides[1], outcomes)),
        (_brier(sides[0], outcomes), _brier(sides[1], outcomes)),
    )


def _brier(said: Sequence[float], outcomes: Sequence[float]) -> float:
    return sum((p - y) ** 2 for p, y in zip(said, outcomes, strict=True)) / len(said)


def calibration_error(said: Sequence[float], outcomes: Sequence[float]) -> float:
    """Return the expected calibration error over ten equal bins."""
    bins: dict[int, list[float]] = {}
    for p, y in zip(said, outcomes, strict=True):
        bins.setdefault(min(int(p * 10), 9), []).append(p - y)
    return sum(abs(sum(gaps)) for gaps in bins.values()) / len(said)


def _api_good(outcomes: Sequence[float]) -> float:
    """Return how often the API is good; where little is known, always: that keeps more there."""
    return sum(outcomes) / len(outcomes) if len(outcomes) >= LEAST_API else 1.0


def _share(confidences: Sequence[float], threshold: float) -> float:
    return sum(p >= threshold for p in confidences) / max(len(confidences), 1)


def _at_quality(
    log: Log,
    confidences: tuple[Sequence[float], Sequence[float]],
    state: Calibration,
    quality: float,
) -> tuple[float, float]:
    """Return the share that keeps a quality before and after; the same while nobody knows it."""
    earlier, after = confidences
    if len(log.api) < LEAST_API and state.curve:
        share = max((s.local for s in state.curve if s.quality >= quality), default=0.0)
        return share, share
    good = _api_good(log.api)
    return _kept(earlier, after, good, quality), _kept(after, after, good, quality)


def _kept(order: Sequence[float], truth: Sequence[float], api: float, quality: float) -> float:
    """Return the largest share, of the surest by `order` first, that keeps the quality."""
    surest = sorted(range(len(order)), key=lambda i: -order[i])
    gained, taken, best = 0.0, 0, 0
    for _, equals in groupby(surest, key=order.__getitem__):  # no threshold parts them
        for i in equals:
            gained += truth[i] - api
            taken += 1
        if len(order) * api + gained >= quality * len(order) * api:
            best = taken
    return best / max(len(order), 1)


def _curve_of(
    log: Log, after: Sequence[float], good: float, shipped: Sequence[Point]
) -> tuple[Step, ...]:
    """Return the state's curve: measured, or the shipped one on the new confidences' scale.

    Of an API that nobody judged it is not known what a share of its quality is. Then each quality
    keeps the local share that the shipped curve gives it, now of those that are surest.
    """
    if len(after) < LEAST_DECISIONS:
        return ()
    if len(log.api) >= LEAST_API or not shipped:
        return _curve(after, good)
    surest = sorted(map(down, after), reverse=True)
    steps = []
    for point in shipped:
        taken = sum(d.score >= point.threshold for d in log.decisions)
        while 0 < taken < len(surest) and surest[taken] == surest[taken - 1]:
            taken -= 1  # a threshold takes all equals or none of them
        cut = surest[taken - 1] if taken else 1.0
        steps.append(_step(cut, point.quality, taken / len(surest)))
    return tuple(steps)


def _curve(confidences: Sequence[float], api: float) -> tuple[Step, ...]:
    """Return what thresholds mean for these requests, by falling threshold.

    A step ends with the last of its equals, for a threshold takes all of them: where a few
    templates are asked again and again, there are few steps.
    """
    surest = sorted(confidences, reverse=True)
    n, gained, taken, point = len(surest), 0.0, 0, 0
    steps = [_step(1.0, 1.0, 0.0)]
    for cut, equals in groupby(surest, key=down):
        for p in equals:
            gained += p - api
            taken += 1
        if taken * _POINTS // n > point:
            point = taken * _POINTS // n
            steps.append(_step(cut, max(0.0, 1.0 + gained / (n * api)), taken / n))
    return tuple(steps)


def _step(threshold: float, quality: float, local: float) -> Step:
    return Step(threshold=threshold, quality=round(quality, 4), local=round(local, 4))
