from __future__ import annotations

import pytest

from hybrid_operator.control.contest import CALM_SECONDS, PATIENCE, Contests
from hybrid_operator.control.queue import LONGEST_BACKOFF
from hybrid_operator.core.state import Contested


def fight(contests: Contests[str], seconds: float, every: float = 0.1) -> list[float]:
    """Write "x" whenever that is allowed; it is undone at once. Return when it was written."""
    times = []
    for step in range(round(seconds / every)):
        now = step * every
        if contests.wait("x", "one", now) == 0:
            contests.wrote("x", "one", ("spec.a",), now)
            times.append(now)
    return times


def test_a_fight_slows_down_and_goes_on_for_ever():
    times = fight(Contests(lambda: 1.0), 3600)
    assert times[PATIENCE] == pytest.approx(1.0)
    assert len(times) < PATIENCE + 25
    assert times[-1] - times[-2] == pytest.approx(LONGEST_BACKOFF, abs=1)


def test_what_is_undone_is_named_while_it_is_held_and_when_it_is_due():
    contests: Contests[str] = Contests(lambda: 1.0)
    for _ in range(PATIENCE):
        contests.wrote("x", "one", (), 0.0)
    assert contests.contested(0.0) == {}
    contests.wrote("x", "one", ("spec.a",), 0.0)
    assert contests.contested(0.4) == {"x": Contested("one", ("spec.a",), held=True)}
    assert contests.next_look(0.4) == pytest.approx(0.1)
    assert contests.contested(0.6) == {"x": Contested("one", ("spec.a",), held=False)}


def test_a_contest_is_over_when_nobody_undoes_the_last_write():
    contests: Contests[str] = Contests(lambda: 1.0)
    for _ in range(PATIENCE + 1):
        contests.wrote("x", "one", (), 0.0)
    assert contests.next_look(1.0) == pytest.approx(CALM_SECONDS - 0.5)
    assert contests.contested(CALM_SECONDS + 1) == {}
    assert contests.next_look(CALM_SECONDS + 1) is None


@pytest.mark.parametrize(
    ("key", "stamp"),
    [
        pytest.param("x", "two", id="Other content is written at once"),
        pytest.param("y", "one", id="Another object is written at once"),
    ],
)
def test_nothing_else_waits(key, stamp):
    contests: Contests[str] = Contests(lambda: 1.0)
    for _ in range(PATIENCE + 5):
        contests.wrote("x", "one", (), 0.0)
    assert contests.wait("x", "one", 0.0) > 0
    assert contests.wait(key, stamp, 0.0) == 0


def test_drift_that_is_put_right_now_and_then_is_no_fight():
    contests: Contests[str] = Contests(lambda: 1.0)
    for round_ in range(50):
        contests.wrote("x", "one", ("spec.a",), round_ * (CALM_SECONDS + 1))
    assert contests.contested(50 * CALM_SECONDS) == {}
