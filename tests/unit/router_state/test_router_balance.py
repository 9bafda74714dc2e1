"""Which replica: by the request's beginning while the load allows, else the less loaded of two."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.balance import LOAD_FACTOR, Prefix, choose, power_of_two
from hybrid_router.openai.prefix import prefix
from hybrid_router.openai.request import parse


@dataclass
class Loaded:
    outstanding: int
    seed: int = 0


def idle(count: int) -> list[Loaded]:
    return [Loaded(0, int.from_bytes(hashlib.sha256(b"%d" % i).digest()[:8])) for i in range(count)]


def first(_: object = None) -> float:
    return 0.0


_loads = st.lists(st.integers(min_value=0, max_value=1_000), max_size=8)
_draws = st.lists(st.floats(min_value=0, max_value=1, exclude_max=True), min_size=2, max_size=2)


def test_no_replica_is_no_choice() -> None:
    assert power_of_two([], lambda: 0.0) is None


@given(_loads, _draws)
def test_the_chosen_one_is_never_the_most_loaded_of_several(
    loads: list[int], draws: list[float]
) -> None:
    replicas = [Loaded(load) for load in loads]
    chosen = power_of_two(replicas, iter(draws).__next__)
    if len(replicas) > 1:
        assert chosen is not None
        others = [r for r in replicas if r is not chosen]
        assert any(other.outstanding >= chosen.outstanding for other in others)


@given(st.integers(0, 500), st.integers(0, 500), _draws)
def test_of_two_replicas_the_less_loaded_one_is_always_taken(
    one: int, other: int, draws: list[float]
) -> None:
    chosen = power_of_two([Loaded(one), Loaded(other)], iter(draws).__next__)
    assert chosen is not None
    assert chosen.outstanding == min(one, other)


def test_equal_loads_are_shared_by_the_draw() -> None:
    replicas = [Loaded(0), Loaded(0), Loaded(0)]
    chosen = {id(power_of_two(replicas, iter((x / 3, 0.0)).__next__)) for x in range(3)}
    assert len(chosen) == 3


_hashes = st.integers(0, 2**64 - 1)
_prefixes = st.builds(Prefix, _hashes, _hashes)


@given(_prefixes, st.integers(2, 9), st.randoms())
def test_every_router_chooses_the_same_replica(
    begins: Prefix, count: int, order: random.Random
) -> None:
    here, there = idle(count), idle(count)
    order.shuffle(there)
    one, other = choose(here, begins, 10, first), choose(there, begins, 10, first)
    assert one is not None
    assert other is not None
    assert one.seed == other.seed


@given(_prefixes, st.integers(3, 9))
def test_a_replica_that_goes_moves_nobody_else_within_its_half(begins: Prefix, count: int) -> None:
    replicas = idle(count)
    home = choose(replicas, begins, 10, first)
    moved = 0
    for gone in replicas:
        left = [r for r in replicas if r is not gone]
        moved += choose(left, begins, 10, first) is not home
    # Its own loss moves it; so may one that is taken into a half which has become a free place.
    assert 1 <= moved <= 1 + count // 2 + count % 2


@given(_prefixes, st.lists(st.integers(0, 1000), min_size=2, max_size=8), st.integers(1, 500))
def test_affinity_never_chooses_a_replica_above_its_bound(
    begins: Prefix, loads: list[int], tokens: int
) -> None:
    replicas = idle(len(loads))
    for replica, load in zip(replicas, loads, strict=True):
        replica.outstanding = load
    chosen = choose(replicas, begins, tokens, first)
    assert chosen is not None
    assert chosen.outstanding <= LOAD_FACTOR * (sum(loads) + tokens) / len(loads)


def test_conversations_are_spread_evenly() -> None:
    replicas, draws = idle(4), random.Random(1)  # noqa: S311  no secret
    counts = dict.fromkeys([r.seed for r in replicas], 0)
    for _ in range(4000):
        begins = Prefix(draws.getrandbits(64), draws.getrandbits(64))
        chosen = choose(replicas, begins, 1, first)
        assert chosen is not None
        counts[chosen.seed] += 1
    assert all(850 < count < 1150 for count in counts.values())


def test_one_system_prompt_is_computed_at_half_of_the_replicas() -> None:
    replicas, draws = idle(8), random.Random(1)  # noqa: S311  no secret
    used = set()
    for _ in range(200):
        chosen = choose(replicas, Prefix(7, draws.getrandbits(64)), 1, first)
        assert chosen is not None
        used.add(chosen.seed)
    assert len(used) == 4


def call(*messages: tuple[str, object], **fields: object) -> Prefix:
    body = {"model": "m", "messages": [{"role": r, "content": c} for r, c in messages], **fields}
    return prefix(parse("chat", json.dumps(body).encode()), "model")


SYSTEM = ("system", "You are terse.")
ASK = ("user", "Why?")
SAME: dict[str, Prefix] = {
    "a second turn": call(SYSTEM, ASK, ("assistant", "So."), ("user", "And?")),
    "text as a part": call(SYSTEM, ("user", [{"type": "text", "text": "Why?"}])),
    "other sampling": call(SYSTEM, ASK, temperature=0.3),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME)
def test_it_begins_alike(other: Prefix) -> None:
    assert other == call(SYSTEM, ASK)


PLAIN = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Caf\u00e9?"}]
WRITTEN = {
    "without spaces": json.dumps(PLAIN, separators=(",", ":"), ensure_ascii=False),
    "with spaces": json.dumps(PLAIN, ensure_ascii=False),
    "with line ends": json.dumps(PLAIN, indent=1, ensure_ascii=False),
    "with escapes": json.dumps(PLAIN),
    "the content first": json.dumps([dict(reversed(m.items())) for m in PLAIN]),
    "further fields": json.dumps([{**m, "name": "x"} for m in PLAIN]),
}


@pytest.mark.parametrize("messages", WRITTEN.values(), ids=WRITTEN)
def test_how_json_is_written_does_not_matter(messages: str) -> None:
    body = b'{"model":"m","messages":%s}' % messages.encode()
    expected = call(*[(m["role"], m["content"]) for m in PLAIN])
    assert prefix(parse("chat", body), "model") == expected


TEXTS = st.sampled_from(["x", "é", "x\n", '"', "\\"])


@given(st.integers(0, 1_500), st.integers(0, 380), TEXTS)
def test_further_fields_of_a_turn_do_not_matter(before: int, length: int, text: str) -> None:
    messages = [("system", "s" * before), ("user", "a" * (length % 7) + text * length)]
    further = [{"role": r, "content": c, "name": "x"} for r, c in messages]
    assert call(*messages) == call(messages=further)


@given(st.integers(0, 5_000), st.integers(0, 9_000), TEXTS)
def test_a_conversation_stays_wherever_the_part_that_is_read_ends(
    before: int, length: int, text: str
) -> None:
    messages = [("system", "s" * before), ("user", "a" * (length % 7) + text * length)]
    assert call(*messages) == call(*messages, ("assistant", "So."), ("user", "And?"))


OTHER = {
    "another question": call(SYSTEM, ("user", "Who?")),
    "another system prompt": call(("system", "Be verbose."), ASK),
    "tools": call(SYSTEM, ASK, tools=[{"type": "function"}]),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_it_begins_otherwise(other: Prefix) -> None:
    assert other.own != call(SYSTEM, ASK).own


def test_what_many_conversations_share_is_told_apart_from_the_question() -> None:
    assert call(SYSTEM, ASK).shared == call(SYSTEM, ("user", "Who?")).shared
    assert call(SYSTEM, ASK).shared != call(("system", "Be verbose."), ASK).shared


LENGTHS = [100, 5_000, 70_000]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_conversation_stays_where_it_is_however_long_its_beginning_is(length: int) -> None:
    long = ("system", "é" * length)
    begins = call(long, ASK)
    assert call(long, ASK, ("assistant", "So."), ("user", "x" * 100_000)) == begins
    huge = ("user", "x" * length)
    assert call(SYSTEM, huge, ("assistant", "So."), ASK) == call(SYSTEM, huge)


def test_a_prompt_begins_with_its_first_bytes() -> None:
    def completion(text: str) -> Prefix:
        body = json.dumps({"model": "m", "prompt": text}).encode()
        return prefix(parse("completions", body), "model")

    begins = "x" * 2000
    assert completion(begins + "and") == completion(begins + "or")
    assert completion("a") != completion("b")
