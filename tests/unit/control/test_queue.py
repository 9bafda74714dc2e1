from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.control.queue import FIRST_BACKOFF, LONGEST_BACKOFF, KeyedQueue, backoff


def test_a_key_added_many_times_is_handed_out_once():
    queue: KeyedQueue[str] = KeyedQueue()
    for at in (3.0, 1.0, 2.0):
        queue.add("a", at)
    assert queue.take(0.5) is None
    assert queue.take(1.0) == "a"
    assert queue.take(9.0) is None


def test_the_key_that_is_due_longest_comes_first():
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("late", 2.0)
    queue.add("early", 1.0)
    assert [queue.take(5.0), queue.take(5.0)] == ["early", "late"]


def test_what_is_added_while_a_key_is_worked_on_comes_afterwards():
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a", 0.0)
    assert queue.take(0.0) == "a"
    queue.add("a", 0.0)
    assert queue.take(1.0) is None
    assert queue.next_due() is None
    queue.finish("a", 1.0, again=None, not_before=1.0)
    assert queue.take(1.0) == "a"


def test_a_change_comes_before_a_later_second_look():
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a", 0.0)
    queue.take(0.0)
    queue.finish("a", 0.0, again=60.0, not_before=0.0)
    queue.add("a", 5.0)
    assert queue.next_due() == 5.0
    assert queue.take(5.0) == "a"
    assert len(queue) == 0


def test_a_held_key_waits_even_when_something_changed():
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a", 0.0)
    queue.take(0.0)
    queue.finish("a", 0.0, again=None, not_before=2.0)
    queue.add("a", 0.5)
    assert queue.next_due() == 2.0
    assert queue.take(1.9) is None
    assert queue.take(2.0) == "a"


def test_a_hold_ends_with_the_next_turn():
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a", 0.0)
    queue.take(0.0)
    queue.finish("a", 0.0, again=0.0, not_before=2.0)
    queue.take(2.0)
    queue.finish("a", 2.0, again=2.0, not_before=2.0)
    assert queue.take(2.0) == "a"


steps = st.lists(
    st.tuples(st.sampled_from(["add", "take", "finish"]), st.integers(0, 3), st.integers(0, 5)),
    max_size=60,
)


@given(steps)
def test_whatever_happens_no_key_is_worked_on_twice_at_once_and_none_is_lost(steps):
    queue: KeyedQueue[int] = KeyedQueue()
    now, running, wanted = 0.0, set(), set()
    for what, key, number in steps:
        now += number
        if what == "add":
            queue.add(key, now + number)
            wanted.add(key)
        elif what == "take":
            taken = queue.take(now)
            if taken is not None:
                assert taken not in running
                assert taken in wanted
                running.add(taken)
                wanted.discard(taken)
        elif key in running:
            running.discard(key)
            queue.finish(key, now, again=None, not_before=now + number)
    for key in running:
        queue.finish(key, now, again=None, not_before=now)
    left = set()
    while (taken := queue.take(math.inf)) is not None:
        left.add(taken)
    assert left == wanted


@pytest.mark.parametrize(
    ("failures", "longest"),
    [
        pytest.param(1, FIRST_BACKOFF, id="the first failure waits half a second"),
        pytest.param(2, 1.0, id="the second one twice that"),
        pytest.param(5, 8.0, id="it doubles every time"),
        pytest.param(11, LONGEST_BACKOFF, id="up to five minutes"),
        pytest.param(100_000, LONGEST_BACKOFF, id="and never overflows"),
    ],
)
def test_backoff(failures, longest):
    assert backoff(failures, 1.0) == longest
    assert backoff(failures, 0.0) == longest / 2
