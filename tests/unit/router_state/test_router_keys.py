"""Client keys: who is let in, who is not, and that changed files are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hybrid_router.keys import KeyRing, Unauthorized
from hybrid_router.table import Keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "team-a").write_text("key-of-a\n")
    (tmp_path / "team-b").write_text("key-of-b")
    return tmp_path


@pytest.fixture
def ring(directory: Path) -> KeyRing:
    keys = KeyRing()
    keys.configure(Keys(directory=str(directory)))
    return keys


def test_without_keys_in_the_table_everyone_is_served() -> None:
    keys = KeyRing()
    keys.configure(None)
    assert keys.check(None) is None
    assert keys.check(b"anything") is None


@pytest.mark.parametrize(
    ("presented", "key_id"),
    [
        pytest.param(b"key-of-a", "team-a", id="a line feed at the end of the file is no part"),
        pytest.param(b"key-of-b", "team-b", id="nor is one needed"),
    ],
)
def test_a_known_key_names_its_owner(ring: KeyRing, presented: bytes, key_id: str) -> None:
    assert ring.check(presented) == key_id


@pytest.mark.parametrize(
    "presented",
    [
        pytest.param(None, id="no key"),
        pytest.param(b"", id="an empty key"),
        pytest.param(b"key-of-a\n", id="a key with the file's line feed"),
        pytest.param(b"key-of-", id="the beginning of a key"),
        pytest.param(b"team-a", id="the id of a key"),
        pytest.param(b"\xff\x00", id="bytes that are no text"),
    ],
)
def test_anything_else_is_refused(ring: KeyRing, presented: bytes | None) -> None:
    with pytest.raises(Unauthorized) as refused:
        ring.check(presented)
    assert "key-of" not in str(refused.value)


def test_a_changed_directory_is_seen(ring: KeyRing, directory: Path) -> None:
    assert not ring.poll()
    (directory / "team-a").unlink()
    (directory / "team-c").write_text("key-of-c")
    assert ring.poll()
    assert ring.check(b"key-of-c") == "team-c"
    with pytest.raises(Unauthorized):
        ring.check(b"key-of-a")


def test_a_mounted_secret_is_followed_through_its_symlink(tmp_path: Path) -> None:
    for version, key in (("..v1", "old"), ("..v2", "new-key")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "team").write_text(key)
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "team").symlink_to("..data/team")
    keys = KeyRing()
    keys.configure(Keys(directory=str(tmp_path)))
    assert keys.check(b"old") == "team"
    (tmp_path / "..next").symlink_to("..v2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    keys.poll()
    assert keys.check(b"new-key") == "team"


def test_a_directory_that_is_missing_lets_nobody_in_until_it_is_there(tmp_path: Path) -> None:
    keys = KeyRing()
    keys.configure(Keys(directory=str(tmp_path / "keys")))
    with pytest.raises(Unauthorized):
        keys.check(b"x")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "me").write_text("x")
    keys.poll()
    assert keys.check(b"x") == "me"


def test_an_empty_key_file_lets_nobody_in_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty").write_text("\n")
    keys = KeyRing()
    keys.configure(Keys(directory=str(tmp_path)))
    with pytest.raises(Unauthorized):
        keys.check(b"")
    assert "client key empty is empty" in caplog.text


def test_keys_are_held_as_hashes_only(ring: KeyRing) -> None:
    # Compiled, it has no `__dict__` for `vars`.
    assert "key-of-a" not in repr([getattr(ring, name) for name in dir(ring)])


def test_a_table_that_drops_its_keys_serves_everyone_again(ring: KeyRing) -> None:
    ring.configure(None)
    assert ring.check(None) is None
