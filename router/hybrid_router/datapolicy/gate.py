"""The one gate to the outside: what it has not cleared cannot be sent.

`post`, which writes a request to a backend, takes a `Cleared` body and nothing else, and only a
`Clearance` makes one. So no path to a provider, be it an explicit name, a failover, a spill or a
broken classifier, gets past the policy by forgetting it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.core.datapolicy import BROKEN, NOTHING, Ruling, judge, rules
from hybrid_router.datapolicy import document
from hybrid_router.datapolicy.budget import MOST_PLACES
from hybrid_router.datapolicy.findings import NOWHERE, Finding, findings
from hybrid_router.datapolicy.redaction import (
    PLACEHOLDER,
    Vault,
    asks_for_json,
    rebuilt,
    replaced,
)
from hybrid_router.datapolicy.restoring import Restoring, restored
from hybrid_router.memory import trim
from hybrid_router.table import TYPES, UNSCANNED

if TYPE_CHECKING:
    from hybrid_router.core.datapolicy import Rule
    from hybrid_router.datapolicy.scanner import Scanner
    from hybrid_router.table import Backend, DataPolicy
    from hybrid_router.upstream.attempt import Downstream, Ended

_log: Final = logging.getLogger(__name__)
_SEAL: Final = object()


class WithheldError(Exception):
    """A body may not be sent to this backend; the text says why, and nothing of the body."""


class Cleared:
    """A body that may be sent to the backend it was cleared for."""

    __slots__ = ("_vault", "body")

    def __init__(self, body: bytes, vault: Vault | None, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only a clearance can clear a body")
        self.body: Final = body
        self._vault = vault

    def client(self, client: Downstream) -> Downstream:
        """Return the client's side: one that puts the values back, where some were replaced."""
        return Restoring(client, self._vault) if self._vault is not None else client

    def restored(self, body: bytes) -> bytes:
        """Return an answer with the values put back."""
        return restored(body, self._vault) if self._vault is not None else body

    def ended(self, ended: Ended) -> Ended:
        """Return how an attempt ended, with the values put back in its answer."""
        if self._vault is None:
            return ended
        return msgspec.structs.replace(ended, body=self.restored(ended.body))


class Clearance:
    """What may be done with one request; made by a `Gate`, or `UNCONDITIONAL`.

    Attributes:
        ruling: what the policy says of it.
        policy: by which it was judged.
        lengthy: there is so much to look at in it that a thread should.
    """

    __slots__ = ("_ahead", "_gate", "_read", "lengthy", "policy", "ruling")

    def __init__(
        self,
        ruling: Ruling,
        policy: DataPolicy | None,
        gate: Gate | None,
        read: object = None,
    ) -> None:
        self.ruling = ruling
        self.policy = policy
        self.lengthy = False
        self._gate = gate
        self._read = read
        self._ahead: tuple[bytes, tuple[bytes, Vault | None] | WithheldError] | None = None

    def taken(self) -> object:
        """Return the decoded body that was judged, once, so that nobody has to decode it again."""
        read, self._read = self._read, None
        return read

    async def prepare(self, body: bytes, backend: Backend, *, anew: bool) -> None:
        """Do in a thread what `clear` will do for a lengthy body."""
        if backend.trust == "internal" or not (anew or self.ruling.redacted):
            return
        try:
            self._ahead = body, await asyncio.to_thread(self._outside, body, anew=anew)
        except WithheldError as error:
            self._ahead = body, error

    def passes(self, text: str) -> bool:
        """Return whether the policy that the request was judged by names nothing in a text."""
        return self.policy is None or (self._gate is not None and not self._gate.names(text))

    def clear(
        self, body: bytes, backend: Backend, policy: DataPolicy | None, *, anew: bool = False
    ) -> Cleared:
        """Return a body that may be sent to `backend`, redacted where that is called for.

        Args:
            body: as it would be sent.
            backend: where to.
            policy: in force now; another one than the request was judged by lets nothing out.
            anew: it says more than what was judged, or in other words, as a translation does, in
                which what was JSON in a text loses its escapes: it is judged, too.

        Raises:
            WithheldError: it may not leave the cluster.
        """
        if backend.trust == "internal":
            return Cleared(body, None, _SEAL)
        if policy != self.policy:
            raise WithheldError("the data policy changed while the request was under way")
        ahead = self._ahead
        if ahead is None or ahead[0] is not body:
            sent, vault = self._outside(body, anew=anew)
        elif isinstance(ahead[1], WithheldError):
            raise ahead[1]
        else:
            sent, vault = ahead[1]
        return Cleared(sent, vault, _SEAL)

    def _outside(self, body: bytes, *, anew: bool) -> tuple[bytes, Vault | None]:
        """Return what of a body may be sent outside, and what was replaced in it.

        Raises:
            WithheldError: nothing.
        """
        ruling = self.ruling
        if anew and self._gate is not None and not ruling.redacted:
            ruling = self._gate.judge(body).ruling
        kept = ruling.kept
        if kept is not None or ruling.refused:
            raise WithheldError(f"it must stay inside the cluster: {kept or 'it is refused'}")
        if not ruling.redacted:
            return body, None
        if self._gate is None:
            raise WithheldError("nobody can redact it")
        return self._gate.redact(body, ruling)


UNCONDITIONAL: Final = Clearance(NOTHING, None, None)
"""Where no data policy is in force."""


class Gate:
    """Judges requests by one policy.

    Raises:
        ValueError: one of its patterns cannot be used.
    """

    def __init__(self, policy: DataPolicy) -> None:
        self._policy = policy
        self._rules: dict[str, Rule] = rules(policy)
        self._scanner = _scanner(policy, self._rules)

    def judge(self, body: bytes, most: int = MOST_PLACES) -> Clearance:
        """Return what may be done with a request.

        Args:
            body: of the request.
            most: places in it that are looked at; with more, it is `lengthy`.

        Raises:
            document.RepeatedNameError: an object of the body has a name twice.
        """
        try:
            read = document.read(body)
            places = findings(self._scanner, read, most)
        except document.RepeatedNameError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, nothing may leave
            _log.error("a request could not be scanned: %s", type(error).__name__)
            return Clearance(BROKEN, self._policy, self)
        found = {place.type for place in places}
        if read.unscanned:
            found.add(UNSCANNED)
        clearance = Clearance(judge(self._rules, found), self._policy, self, read.value)
        clearance.lengthy = bool(places) and places[0].text == NOWHERE
        return clearance

    def names(self, text: str) -> bool:
        """Return whether the policy names something in a text."""
        try:
            return any(span.type in self._rules for span in self._scanner.scan(text))
        except Exception:  # noqa: BLE001  whatever it is, nothing may leave
            return True

    def redact(self, body: bytes, ruling: Ruling) -> tuple[bytes, Vault]:
        """Return a body without the types that are to be redacted, and what was replaced.

        Raises:
            WithheldError: it cannot be done; for example, a value is a number.
        """
        try:
            redacted, vault = self._redacted(body, ruling)
            left = {f.type for f in findings(self._scanner, document.read(redacted))}
        except WithheldError:
            raise
        except Exception:  # noqa: BLE001  whatever it is, nothing may leave
            raise WithheldError("it could not be redacted") from None
        if judge(self._rules, left).classes:
            raise WithheldError("it could not be redacted completely")
        return redacted, vault

    def _redacted(self, body: bytes, ruling: Ruling) -> tuple[bytes, Vault]:
        read = document.read(body)
        by_text: dict[int, list[Finding]] = {}
        for finding in findings(self._scanner, read):
            if finding.type in ruling.redacted:
                by_text.setdefault(finding.text, []).append(finding)
            elif finding.type in self._rules:
                raise WithheldError("what would be sent holds more than what was judged")
        if by_text and min(by_text) < 0:
            raise WithheldError("what would have to be redacted is a number, or too much of it")
        vault = Vault(
            (match[0] for text in read.texts for match in PLACEHOLDER.finditer(text)),
            in_json=asks_for_json(read.value),
        )
        changed = {
            index: replaced(read.texts[index], found, vault) for index, found in by_text.items()
        }
        return rebuilt(body, changed), vault


def _scanner(policy: DataPolicy, known: dict[str, Rule]) -> Scanner:
    # Late: without a policy, nothing of this is loaded.
    from hybrid_router.datapolicy.custom import Custom  # noqa: PLC0415
    from hybrid_router.datapolicy.scanner import Scanner  # noqa: PLC0415

    patterns = {name: each for name, each in policy.patterns.items() if name in known}
    words = {name: each for name, each in policy.words.items() if name in known}
    custom = Custom(patterns, words) if patterns or words else None
    return Scanner(known.keys() & TYPES, custom)


class Broken:
    """Stands in for a gate that could not be built: nothing leaves."""

    def __init__(self, policy: DataPolicy) -> None:
        self._policy = policy

    def judge(self, body: bytes, most: int = MOST_PLACES) -> Clearance:
        """Let nothing out."""
        del body, most
        return Clearance(BROKEN, self._policy, None)


def build(policy: DataPolicy) -> Gate | Broken:
    """Return the gate of a policy; where it cannot be built, one that lets nothing out."""
    try:
        return Gate(policy)
    except Exception as error:  # noqa: BLE001  whatever it is, nothing may leave
        _log.error("the data policy cannot be enforced, so nothing leaves: %s", error)
        return Broken(policy)
    finally:
        trim()
