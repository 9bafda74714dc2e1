"""Identifiers under which an answer can be judged, at any router.

Routers share nothing, and feedback may come hours later to another one. So an identifier carries
what a router must know to accept a judgement: when, by which confidence and state, whose answer.
It is sealed with what all routers of a resource hold and no client does, the client keys together,
and with the id of the key that asked: another key's identifiers are as unknown as invented ones.
Without client keys the seal only tells mistyped identifiers from real ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.keys import KeyRing
    from hybrid_router.server.request import Request

MAX_AGE_SECONDS: Final = 7 * 86_400
"""An older answer is not judged any more."""
_FORM: Final = struct.Struct(">IHB4s")
"""Seconds since 1970, confidence, flags, the state's first digits."""
_SEAL_BYTES: Final = 7
_LENGTH: Final = 24
"""Characters of it all in base64."""
_LOCAL: Final = 1
_GIVEN: Final = 2
_STEPS: Final = 65_535
MAX_TEXT: Final = 160


class Asked(Protocol):
    """What an identifier is made of: `server.exchange.Exchange`, or less."""

    request_id: str
    key_id: str | None
    request: Request


class Receipt(msgspec.Struct, frozen=True):
    """What an identifier says."""

    request_id: str
    """As in the log."""
    beside: str
    """The identifier itself, where the request had an id of its own; else empty."""
    said: float
    """The confidence that the decision was made by."""
    local: bool
    """Whether a local model answered."""
    state: str
    """First 8 digits of the calibration state's digest; empty for none."""


class Issued:
    """The identifier of one answer, before it goes out.

    Attributes:
        beside: it, where it stands beside a client's own `x-request-id`; else empty.
    """

    __slots__ = ("_base", "_exchange", "_given", "_local", "_receipts", "_said", "_state", "beside")

    def __init__(self, receipts: Receipts, exchange: Asked, said: float, state: str) -> None:
        self._receipts = receipts
        self._exchange = exchange
        self._base = exchange.request_id
        self._given = exchange.request.headers.get(b"x-request-id") == self._base.encode()
        self._said, self._state = said, state
        self._local: bool | None = None
        self.beside = ""

    def say(self, *, local: bool) -> str:
        """Make the identifier say who answers; return a header line of its own, if it needs one.

        The router's own `x-request-id` is the identifier. A client's stays as it is, and the
        identifier goes beside it.
        """
        if self._given:
            self.beside = self._seal(local)
            return f"x-hybrid-feedback-id: {self.beside}\r\n"
        if local != self._local:
            self._local = local
            self._exchange.request_id = self._seal(local)
        return ""

    def _seal(self, local: bool) -> str:  # noqa: FBT001  private
        flags = (_LOCAL if local else 0) | (_GIVEN if self._given else 0)
        form = _FORM.pack(
            int(self._receipts.now()),
            round(self._said * _STEPS),
            flags,
            bytes.fromhex(self._state or "00000000"),
        )
        seal = _seal(self._receipts.secrets[0], self._base, self._exchange.key_id, form)
        return f"{self._base}-{base64.urlsafe_b64encode(form + seal).decode()}"


class Receipts:
    """Gives identifiers and reads them."""

    def __init__(self, keys: KeyRing, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self.now = now

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What seals: the present secret, then former ones."""
        return self._keys.seals

    def issue(self, exchange: Asked, said: float, state: str) -> Issued:
        """Return the identifier for a request that was decided by a confidence."""
        return Issued(self, exchange, said, state[:8])

    def read(self, text: str, key_id: str | None) -> Receipt | None:
        """Return what an identifier says; None if it is unknown, of another key, or too old."""
        base, dash, tail = text[: -_LENGTH - 1], text[-_LENGTH - 1 : -_LENGTH], text[-_LENGTH:]
        if not base or dash != "-" or not text.isascii() or len(text) > MAX_TEXT:
            return None
        try:
            data = base64.b64decode(tail, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        form, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
        sealed = (_seal(secret, base, key_id, form) for secret in self.secrets)
        if not any(hmac.compare_digest(seal, each) for each in sealed):
            return None
        at, said, flags, state = _FORM.unpack(form)
        if not -60 <= self.now() - at <= MAX_AGE_SECONDS:  # noqa: PLR2004  clocks differ a little
            return None
        return Receipt(
            request_id=base if flags & _GIVEN else text,
            beside=text if flags & _GIVEN else "",
            said=said / _STEPS,
            local=bool(flags & _LOCAL),
            state=state.hex() if any(state) else "",
        )


def _seal(secret: bytes, base: str, key_id: str | None, form: bytes) -> bytes:
    what = b"%s\0%s\0%s" % (base.encode(), (key_id or "").encode(), form)
    return hashlib.blake2b(what, digest_size=_SEAL_BYTES, key=secret).digest()
