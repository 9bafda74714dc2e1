"""The circuit breaker: rows for each transition, laws for all sequences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hybrid_router.core.breaker import MAX_RETRY_AFTER, Breaker, Outcome

OK, FAILED, CANCELLED = Outcome.OK, Outcome.FAILED, Outcome.CANCELLED
CLIENT_ERROR, OVERLOADED = Outcome.CLIENT_ERROR, Outcome.OVERLOADED
LIMIT, COOLDOWN = 3, 10.0


@pytest.mark.parametrize(
    ("outcomes", "closed"),
    [
        pytest.param([FAILED, FAILED], True, id="fewer failures than the limit change nothing"),
        pytest.param([FAILED] * 3, False, id="as many as the limit, in a row, open it"),
        pytest.param([FAILED, FAILED, OK, FAILED], True, id="a success starts the count again"),
        pytest.param(
            [FAILED, FAILED, CLIENT_ERROR, FAILED], True,
            id="an answer to a bad request is a sign of life",
        ),
        pytest.param(
            [FAILED, CANCELLED, FAILED, FAILED], False, id="a client that left says nothing"
        ),
        pytest.param([OVERLOADED] * 3, False, id="overload counts like a failure"),
    ],
)  # fmt: skip
def test_outcomes_in_a_row(outcomes: list[Outcome], closed: bool) -> None:  # noqa: FBT001  a column
    breaker = Breaker(LIMIT, COOLDOWN)
    for outcome in outcomes:
        breaker.record(outcome, now=0.0)
    assert breaker.closed is closed
    assert breaker.allows(0.0) is closed


def opened() -> Breaker:
    breaker = Breaker(1, COOLDOWN)
    breaker.record(FAILED, now=0.0)
    return breaker


def test_after_the_cooldown_one_probe_passes_and_no_second() -> None:
    breaker = opened()
    assert not breaker.allows(9.9)
    assert breaker.wait(4.0) == 6.0
    assert breaker.allows(10.0)
    breaker.admit(10.0)
    assert not breaker.allows(10.0)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.admit(10.0)
    breaker.record(OK, 11.0)
    assert breaker.closed


def test_a_probe_that_fails_opens_it_for_another_cooldown() -> None:
    breaker = opened()
    breaker.admit(10.0)
    breaker.record(FAILED, 12.0)
    assert not breaker.allows(21.9)
    assert breaker.allows(22.0)


def test_a_probe_whose_client_left_frees_its_slot_after_a_cooldown() -> None:
    breaker = opened()
    breaker.admit(10.0)
    breaker.record(CANCELLED, 11.0)
    assert not breaker.allows(19.0)
    assert breaker.allows(20.0)


def test_retry_after_is_honoured_at_the_first_overload() -> None:
    breaker = Breaker(LIMIT, COOLDOWN)
    breaker.record(OVERLOADED, 0.0, retry_after=7.0)
    assert not breaker.allows(6.9)
    assert breaker.allows(7.0)


def test_a_retry_after_of_an_hour_is_probed_after_a_minute() -> None:
    breaker = Breaker(LIMIT, COOLDOWN)
    breaker.record(OVERLOADED, 0.0, retry_after=3600.0)
    assert breaker.wait(0.0) == MAX_RETRY_AFTER


def test_an_older_failure_does_not_shorten_what_the_replica_asked_for() -> None:
    breaker = Breaker(1, 1.0)
    breaker.record(OVERLOADED, 0.0, retry_after=30.0)
    breaker.record(FAILED, 1.0)
    assert breaker.wait(1.0) == 29.0


class Laws(RuleBasedStateMachine):
    """Any sequence of requests, outcomes and pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(LIMIT, COOLDOWN)
        self.now = 0.0
        self.probes: list[float] = []

    @rule(seconds=st.floats(min_value=0, max_value=30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def request(self) -> None:
        if self.breaker.allows(self.now):
            if not self.breaker.closed:
                self.probes.append(self.now)
            self.breaker.admit(self.now)

    @rule(outcome=st.sampled_from(list(Outcome)), retry=st.none() | st.floats(-1, 100))
    def answer(self, outcome: Outcome, retry: float | None) -> None:
        self.breaker.record(outcome, self.now, retry)
        if self.breaker.closed:
            self.probes.clear()

    @invariant()
    def at_half_open_there_is_one_probe_per_cooldown(self) -> None:
        between = [b - a for a, b in zip(self.probes, self.probes[1:], strict=False)]
        assert all(gap >= COOLDOWN - 1e-9 for gap in between)

    @invariant()
    def no_replica_is_shut_for_ever(self) -> None:
        assert self.breaker.allows(self.now + MAX_RETRY_AFTER + 1)

    @invariant()
    def wait_and_allows_agree(self) -> None:
        assert (self.breaker.wait(self.now) == 0.0) == self.breaker.allows(self.now)


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@given(st.lists(st.sampled_from([OK, CLIENT_ERROR, CANCELLED])))
def test_without_a_failure_it_never_opens(outcomes: list[Outcome]) -> None:
    breaker = Breaker(1, COOLDOWN)
    for outcome in outcomes:
        breaker.record(outcome, 0.0)
    assert breaker.closed
