"""Client keys: every file in a directory holds one key, and its name is the key's id.

Made for a mounted Secret (a symlink `..data` that is swapped as a whole), and as good for a plain
directory. In memory there are only hashes, made with a secret of this process: a client can neither
compute nor steer them, so finding one by its first bytes tells nothing, and the rest is compared in
constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hybrid_router.discovery.files import Signature, signature
from hybrid_router.discovery.secrets import clean

if TYPE_CHECKING:
    from hybrid_router.table import Keys

_log: Final = logging.getLogger(__name__)

_PREFIX: Final = 16
"""Bytes of a hash by which it is found."""
_FORMER: Final = 3
"""Seals of former sets of keys that are still recognised."""


class Unauthorized(Exception):  # noqa: N818  an answer, not a fault
    """No key, or one that this router does not know."""


class KeyRing:
    """The keys of one table. Without any table's `keys`, everyone is served.

    Attributes:
        seals: a secret that all routers with these keys share, then those of former keys.
    """

    def __init__(self) -> None:
        self._directory: str | None = None
        self._seen: tuple[tuple[str, Signature | None], ...] | None = None
        self._keyed = hashlib.blake2b(digest_size=32, key=os.urandom(32))
        self._known: dict[bytes, tuple[bytes, str]] = {}  # first bytes -> whole hash, id
        self.seals: tuple[bytes, ...] = (b"",)

    def configure(self, keys: Keys | None) -> None:
        """Serve the keys of this table from now on."""
        directory = keys.directory if keys is not None else None
        if directory != self._directory:
            self._directory, self._seen, self._known = directory, None, {}
            self.seals = (b"",)
        self.poll()

    def check(self, presented: bytes | None) -> str | None:
        """Return the id of the key that a client presents; None if the table asks for none.

        Args:
            presented: the bare key, without `Bearer`; None if the client sent none.

        Raises:
            Unauthorized: a key is asked for, and this is not one.
        """
        if self._directory is None:
            return None
        if presented is None:
            raise Unauthorized(
                "a key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"
            )
        digest = self._digest(presented)
        known, key_id = self._known.get(digest[:_PREFIX], (b"", ""))
        if hmac.compare_digest(known, digest):
            return key_id
        raise Unauthorized("this key is not known here")

    def poll(self) -> bool:
        """Read the directory again if something in it changed; return whether it did."""
        if self._directory is None:
            return False
        present = _list(self._directory)
        if present == self._seen:
            return False
        first, self._seen = self._seen is None, present
        self._known = self._read(self._directory, [name for name, _ in present])
        _log.info("client keys %s: %d keys", "read" if first else "changed", len(self._known))
        return True

    def _digest(self, key: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(key)
        return digest.digest()

    def _read(self, directory: str, names: list[str]) -> dict[bytes, tuple[bytes, str]]:
        known: dict[bytes, tuple[bytes, str]] = {}
        seal = hashlib.blake2b(digest_size=32, person=b"hinf-receipts")
        for name in names:
            try:
                key = clean(Path(directory, name).read_bytes())
            except OSError:
                continue  # gone or a directory: the next poll sees what is there then
            if key is None:
                _log.warning("client key %s is empty or not plain text: it admits nobody", name)
                continue
            digest = self._digest(key)
            known.setdefault(digest[:_PREFIX], (digest, name))
            seal.update(b"%d:%s" % (len(key), key))
        former = [each for each in self.seals if each]
        self.seals = tuple(dict.fromkeys((seal.digest(), *former)))[: _FORMER + 1]
        return known


def _list(directory: str) -> tuple[tuple[str, Signature | None], ...]:
    """Return the visible files and what identifies their content; nothing if it is away."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208  names alone are wanted
    except OSError:
        return ()
    return tuple((n, signature(f"{directory}/{n}")) for n in names if not n.startswith("."))
