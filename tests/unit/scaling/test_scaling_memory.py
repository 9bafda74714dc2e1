"""What is remembered of a model's levels stands in a short text, and comes back from it."""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.core.scaling.levels import NOTHING, Level, Levels, Rates
from hybrid_operator.core.scaling.memory import Memory, pack, unpack
from hybrid_operator.core.scaling.policy import decide
from hybrid_operator.core.scaling.types import Policy, Sample
from hybrid_operator.core.scaling.window import Window, observe, remember

RATES = Rates(seconds=3.0, gpu_usd=3 / 3600, start_usd=90 / 3600, cold_start_seconds=90.0)


def seen(demands: list[float]) -> Levels:
    levels = NOTHING
    for demand in demands:
        levels = levels.after(demand, demand * 0.002, 0.85, RATES)
    return levels


BUSY = seen([2.4, 0.0, 1.7, 3.9, 0.4] * 40)


OTHER_RELEASE = base64.b64encode(zlib.compress(b"1234" + b"\1" * 80)).decode()


def edited(**fields: Any) -> Memory:
    return Memory(Levels(1.0, (Level(**fields),)), 0.01)


def flat(value: object) -> list[float]:
    parts = value if isinstance(value, tuple) else ()
    return [n for each in parts for n in flat(each)] if parts else [float(str(value or 0))]


@given(st.lists(st.floats(0, 12), max_size=60), st.floats(1e-9, 1e3))
def test_what_is_read_is_what_was_written(demands: list[float], usd: float):
    known = seen(demands)
    read = unpack(pack(Memory(known, usd), 100_000))
    if not known.levels:
        assert read == Memory()
        return
    assert read.usd_per_work == pytest.approx(usd, rel=1e-3)
    assert len(read.levels.levels) == len(known.levels)
    assert [each.rule for each in read.levels.levels] == [each.rule for each in known.levels]
    for one, other in zip(read.levels.levels, known.levels, strict=True):
        assert flat(one) == pytest.approx(flat(other), rel=1e-3, abs=1e-11)
    assert read.levels.wanted == known.wanted


@pytest.mark.parametrize("limit", [0, 30, 96, 200, 500, 1000])
def test_it_never_takes_more_room_than_it_is_given_and_keeps_the_lowest_levels(limit: int):
    known = seen([min(number, 60) * 0.85 * (0.5 + number % 3) for number in range(200)])
    assert len(known.levels) > 60
    text = pack(Memory(known, 0.01), limit)
    read = unpack(text).levels.levels
    assert len(text) <= limit
    assert len(read) < len(known.levels)
    assert [each.rule for each in read] == [each.rule for each in known.levels[: len(read)]]
    assert bool(read) == (limit >= 96)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("what is this?", id="no base64"),
        pytest.param("AAAA", id="nothing compressed"),
        pytest.param(OTHER_RELEASE, id="another release"),
        pytest.param(pack(Memory(BUSY, 0.01), 9999)[:-8] + "AAAAAAA=", id="half of it overwritten"),
        pytest.param("é" * 40, id="not even ASCII"),
        pytest.param(pack(edited(rule=9), 9999), id="a rule that there is not"),
        pytest.param(pack(edited(costs=(math.inf,) * 5), 9999), id="an infinite cost"),
        pytest.param(
            pack(Memory(Levels(1.0, (Level(),) * 99_999), 0.01), 9999), id="more levels than fit"
        ),
    ],
)
def test_a_text_that_is_none_of_ours_is_nothing(text: str):
    assert unpack(text) == Memory()


def test_a_policy_goes_on_after_a_restart_as_it_would_have_without_one():
    """Peaks that a dear API would answer keep replicas; without a memory they would go."""
    policy = Policy(least=0, most=8, gpu_hour_usd=1.0)
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    window, replicas = Window(), 0

    def play(seconds: int, window: Window, replicas: int, *, busy: bool) -> tuple[Window, int]:
        asked = [replicas] * 7
        for tick in range(0, seconds, 15):
            demand = 2.0 if busy and tick % 1200 < 120 else 0.0
            asked = [*asked[1:], replicas]
            sample = Sample(15.0, demand, demand * 0.02, replicas=replicas, ready=min(asked))
            window = observe(window, sample, policy, now + timedelta(seconds=tick))
            decision = decide(window, policy, now)
            window, replicas = remember(window, decision), decision.replicas
        return window, replicas

    window, replicas = play(3 * 3600, window, replicas, busy=True)
    assert replicas == 3
    kept = unpack(pack(Memory(window.levels, window.usd_per_work or 0.0), 96 * 8))
    restored = replace(Window(), levels=kept.levels, usd_per_work=kept.usd_per_work)
    _, without = play(780, Window(), replicas, busy=False)
    _, after = play(780, restored, replicas, busy=False)
    _, uninterrupted = play(780, window, replicas, busy=False)
    assert (without, after, uninterrupted) == (1, 3, 3)
