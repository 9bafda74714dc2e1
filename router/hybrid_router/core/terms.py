"""The terms of one request: which rule matches it, and what that and its intent ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from hybrid_router.table import IntentPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.table import Policy, RoutingRule

Side = Literal["local", "api"]


class Asked(msgspec.Struct, frozen=True):
    """What rules look at."""

    alias: str = ""
    """The name that the client asked for."""
    key: str | None = None
    """The id of the client's key."""
    tokens: int = 0
    """Of the prompt, estimated; without what came after the last user turn."""
    headers: Mapping[bytes, bytes] = msgspec.field(default_factory=dict)
    """Of the request, names in lower case."""


class Terms(msgspec.Struct, frozen=True):
    """What holds for one request. A rule's terms come before an intent's, and these before all."""

    threshold: float
    """For intents without one of their own."""
    hysteresis: float = 0.05
    rule: str | None = None
    """The name of the rule that matched."""
    prefer: Side | None = None
    """The rule's: the side to ask first, whatever the confidence."""
    strict: float | None = None
    """The rule's threshold, for every intent."""
    allowed: tuple[str, ...] = ()
    """The rule's: models that may answer."""
    intents: Mapping[str, IntentPolicy] = msgspec.field(default_factory=dict)

    def at(self, intent: str | None) -> float:
        """Return the confidence from which the local model is asked first."""
        if self.strict is not None:
            return self.strict
        own = self.intents.get(intent or "")
        return own.threshold if own is not None and own.threshold is not None else self.threshold

    def preferred(self, intent: str | None) -> Side | None:
        """Return the side that the policy prefers for an intent."""
        own = self.intents.get(intent or "")
        return own.prefer if own is not None and self.strict is None else None

    def models(self, intent: str | None) -> Sequence[str]:
        """Return the upstream models that may answer; empty for all."""
        own = self.intents.get(intent or "")
        return self.allowed or (own.models if own is not None else ())


def terms(policy: Policy, asked: Asked, threshold: float | None = None) -> Terms:
    """Return the terms of a request: those of the first rule that matches, and the policy's.

    `threshold` is the policy's where that states a quality or a share instead of a number.
    """
    cut = policy.threshold if threshold is None else threshold
    rule = next((rule for rule in policy.rules if _matches(rule, asked)), None)
    if rule is None:
        return Terms(cut, policy.hysteresis, intents=policy.intents)
    return Terms(
        cut, policy.hysteresis, rule.name, rule.prefer, rule.threshold, rule.models, policy.intents
    )


def by_length(policy: Policy) -> bool:
    """Return whether a rule looks at the length of prompts."""
    return any([r.min_tokens is not None or r.max_tokens is not None for r in policy.rules])  # noqa: C419  a list is faster


def _matches(rule: RoutingRule, asked: Asked) -> bool:
    """Return whether everything that the rule states holds; a rule of nothing matches all."""
    if rule.aliases and asked.alias not in rule.aliases:
        return False
    if rule.keys and asked.key not in rule.keys:
        return False
    if rule.min_tokens is not None and asked.tokens < rule.min_tokens:
        return False
    if rule.max_tokens is not None and asked.tokens > rule.max_tokens:
        return False
    for name, wanted in rule.headers.items():
        value = asked.headers.get(name.encode())
        if value is None or (wanted and value != wanted.encode()):
            return False
    return True
