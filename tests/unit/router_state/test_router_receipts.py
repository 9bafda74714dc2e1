"""Identifiers to judge by: read at any router with the same keys, for the key that asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.keys import KeyRing
from hybrid_router.outcomes.receipts import MAX_AGE_SECONDS, Receipt, Receipts
from hybrid_router.server.request import Request
from hybrid_router.table import Keys

if TYPE_CHECKING:
    from pathlib import Path

STATE = "0123456789ab"
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)


def exchange(request_id: str, key: str | None = "alice", given: str | None = None) -> Any:
    request = Request()
    if given is not None:
        request.headers[b"x-request-id"] = given.encode()
    return SimpleNamespace(request_id=request_id, key_id=key, request=request)


def ring(directory: Path, **keys: str) -> KeyRing:
    for name, key in keys.items():
        (directory / name).write_text(key)
    found = KeyRing()
    found.configure(Keys(directory=str(directory)))
    return found


def issued(receipts: Receipts, said: float = 0.9, *, local: bool = True, **known: Any) -> str:
    asked = exchange("5f0c-1", **known)
    assert receipts.issue(asked, said, STATE).say(local=local) == ""
    return str(asked.request_id)


@given(
    request_id=IDS, said=st.floats(0, 1), local=st.booleans(), state=st.sampled_from(["", STATE])
)
def test_what_is_issued_is_read_back(
    request_id: str, said: float, *, local: bool, state: str
) -> None:
    receipts = Receipts(KeyRing())
    asked = exchange(request_id)
    receipts.issue(asked, said, state).say(local=local)
    found = receipts.read(asked.request_id, "alice")
    assert found is not None
    assert found.said == pytest.approx(said, abs=1e-4)
    assert found == Receipt(asked.request_id, "", found.said, local, state[:8])


@given(IDS, st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_id_is_unknown(request_id: str, at: int, other: str) -> None:
    receipts = Receipts(KeyRing())
    asked = exchange(request_id)
    receipts.issue(asked, 0.5, "").say(local=True)
    text = asked.request_id
    at %= len(text)
    changed = text[:at] + other + text[at + 1 :]
    assert (receipts.read(changed, "alice") is None) == (changed != text)


@given(st.text(max_size=200))
def test_whatever_is_sent_is_read_or_unknown(text: str) -> None:
    assert Receipts(KeyRing()).read(text, None) is None


def test_an_id_of_the_clients_stays_and_another_goes_beside_it() -> None:
    receipts = Receipts(KeyRing())
    asked = exchange("mine", given="mine")
    line = receipts.issue(asked, 0.5, "").say(local=True)
    name, _, value = line.strip().partition(": ")
    assert (asked.request_id, name) == ("mine", "x-hybrid-feedback-id")
    found = receipts.read(value, "alice")
    assert found is not None
    assert (found.request_id, found.beside) == ("mine", value)


def test_another_side_makes_another_id_and_the_same_side_does_not() -> None:
    receipts = Receipts(KeyRing())
    asked = exchange("5f0c-1")
    given_out = receipts.issue(asked, 0.5, "")
    given_out.say(local=True)
    first = asked.request_id
    given_out.say(local=True)
    assert asked.request_id == first
    given_out.say(local=False)
    found = receipts.read(asked.request_id, "alice")
    assert found is not None
    assert not found.local


@pytest.mark.parametrize(
    ("later", "known"),
    [
        pytest.param(0, True, id="at once"),
        pytest.param(MAX_AGE_SECONDS, True, id="after seven days"),
        pytest.param(MAX_AGE_SECONDS + 1, False, id="later"),
        pytest.param(-3600, False, id="before it was made"),
    ],
)
def test_an_id_is_known_for_seven_days(later: float, *, known: bool) -> None:
    now = 1e9
    receipts = Receipts(KeyRing(), lambda: now)
    text = issued(receipts)
    now += later
    assert (receipts.read(text, "alice") is not None) == known


def test_routers_with_other_keys_and_clients_with_another_key_know_nothing_of_it(
    tmp_path: Path,
) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    one = Receipts(ring(tmp_path / "one", alice="a", bob="b"))
    two = Receipts(ring(tmp_path / "two", alice="a", bob="b"))
    other = Receipts(ring(tmp_path / "other", alice="a", bob="c"))
    text = issued(one)
    assert two.read(text, "alice") is not None
    assert two.read(text, "bob") is None
    assert other.read(text, "alice") is None
    assert Receipts(KeyRing()).read(text, "alice") is None


def test_keys_that_change_leave_former_ids_known_and_none_made_without_keys(
    tmp_path: Path,
) -> None:
    keys = KeyRing()
    receipts = Receipts(keys)
    open_to_all = issued(receipts)
    (tmp_path / "alice").write_text("a")
    keys.configure(Keys(directory=str(tmp_path)))
    before = issued(receipts)
    (tmp_path / "bob").write_text("b")
    keys.poll()
    assert receipts.read(before, "alice") is not None
    assert receipts.read(open_to_all, "alice") is None
