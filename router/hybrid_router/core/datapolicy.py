"""What follows from what was found in a request: refuse, keep, redact, or nothing."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.table import GROUPS, UNSCANNED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hybrid_router.table import DataPolicy


class Action(enum.StrEnum):
    """What is done with a class; a later one wins over an earlier one."""

    REDACT = "redact"
    KEEP_LOCAL = "keep-local"
    REFUSE = "refuse"


_STRICTNESS: Final[tuple[Action, ...]] = (Action.REDACT, Action.KEEP_LOCAL, Action.REFUSE)


class Rule(msgspec.Struct, frozen=True):
    """What is done with a type, and the class under which the policy names it."""

    action: Action
    name: str


class Ruling(msgspec.Struct, frozen=True):
    """What a policy says of one request.

    Attributes:
        classes: found, by the policy's own names, with what is done about each; sorted.
        redacted: types to be replaced before anything leaves the cluster.
        broken: the scan failed; nothing is known of the request, and nothing may leave.
    """

    classes: tuple[tuple[str, Action], ...] = ()
    redacted: frozenset[str] = frozenset()
    broken: bool = False

    @property
    def refused(self) -> tuple[str, ...]:
        """Classes for which the request is refused."""
        return self._of(Action.REFUSE)

    @property
    def kept(self) -> str | None:
        """Why the request must stay inside the cluster; None where it may leave."""
        if self.broken:
            return "it could not be scanned"
        names = self._of(Action.KEEP_LOCAL)
        return f"it holds {', '.join(names)}" if names else None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes found."""
        return tuple([name for name, _ in self.classes])

    def _of(self, action: Action) -> tuple[str, ...]:
        if not self.classes:
            return ()
        return tuple(name for name, each in self.classes if each is action)


NOTHING: Final = Ruling()
"""Nothing was found."""
BROKEN: Final = Ruling(classes=((UNSCANNED, Action.KEEP_LOCAL),), broken=True)
"""The scan failed."""


def rules(policy: DataPolicy) -> dict[str, Rule]:
    """Return what is done with every type that the policy names, groups taken apart.

    What cannot be scanned is kept local as soon as the policy names anything at all.
    """
    found: dict[str, Rule] = {}
    for action, classes in zip(
        _STRICTNESS, (policy.redact, policy.keep_local, policy.refuse), strict=True
    ):
        for name in classes:
            for type_ in GROUPS.get(name, (name,)):
                found[type_] = Rule(action, name)
    if found:
        found.setdefault(UNSCANNED, Rule(Action.KEEP_LOCAL, UNSCANNED))
    return found


def judge(known: Mapping[str, Rule], types: Collection[str]) -> Ruling:
    """Return what follows from the types that were found in a request."""
    hit = [(type_, known[type_]) for type_ in types if type_ in known]
    if not hit:
        return NOTHING
    strictest: dict[str, Action] = {}
    for _, rule in hit:
        present = strictest.get(rule.name)
        if present is None or _STRICTNESS.index(rule.action) > _STRICTNESS.index(present):
            strictest[rule.name] = rule.action
    return Ruling(
        classes=tuple(sorted(strictest.items())),
        redacted=frozenset(type_ for type_, rule in hit if rule.action is Action.REDACT),
    )
