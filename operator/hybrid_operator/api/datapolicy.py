"""`spec.routing.dataPolicy`: which data never leaves the cluster, is redacted or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from hybrid_operator.api.base import (
    ATOMIC,
    MAP_BY_NAME,
    SET,
    DNSLabel,
    Problem,
    Rule,
    Shape,
    Spec,
    rule,
)
from hybrid_operator.api.nearest import none_of
from hybrid_router.table import BUILT_IN, UNSCANNED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES = str(sorted(BUILT_IN))
_OWN = (
    "(has(self.patterns) && self.patterns.exists(p, p.name == c)) || "
    "(has(self.words) && self.words.exists(w, w.name == c))"
)


def _disjoint(
    one: str, other: str, lists: Callable[[DataPolicy], tuple[list[str], list[str]]]
) -> Rule:
    return rule(
        f"!has(self.{one}) || !has(self.{other}) || !self.{one}.exists(c, c in self.{other})",
        f"a class must not be in both {one} and {other}",
        lambda policy: set.isdisjoint(*map(set, lists(policy))),
    )


def _known(field: str, classes: Callable[[DataPolicy], list[str]]) -> Rule:
    message = f"{field} must name built-in classes, or names in patterns or words"

    def find(policy: DataPolicy) -> Iterator[Problem]:
        known = BUILT_IN | policy.own()
        for index, name in enumerate(classes(policy)):
            if name not in known:
                yield Problem(f"{field}[{index}]", message + none_of(name, sorted(known)))

    cel = f"!has(self.{field}) || self.{field}.all(c, c in {_NAMES} || {_OWN})"
    return Rule(cel, message, find)


def _new(field: str, names: Callable[[DataPolicy], set[str]]) -> Rule:
    return rule(
        f"!has(self.{field}) || self.{field}.all(p, !(p.name in {_NAMES}))",
        f"a name in {field} must not be that of a built-in class",
        lambda policy: names(policy).isdisjoint(BUILT_IN),
    )


def _compiles(pattern: str) -> bool:
    import re2  # noqa: PLC0415  only where a resource has patterns of its own

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error:
        return False
    return True


EXPRESSION = Shape(".+", "must be a regular expression on one line")
WORD = Shape(".+", "must be a word or a phrase on one line")


class Pattern(Spec, frozen=True, kw_only=True):
    """A class of your own, by how it is written."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "''.matches(self.pattern) || !''.matches(self.pattern)",
            "pattern must be a regular expression in RE2's syntax: no look-around, "
            "no references to groups",
            lambda p: _compiles(p.pattern),
        ),
    )

    name: DNSLabel
    """Name of the class."""
    pattern: Annotated[str, Meta(max_length=512), EXPRESSION]
    """Regular expression in RE2's syntax, such as EMP-[0-9]{6}. It is found anywhere in a text,
    in time that grows with the text and no faster."""


class Words(Spec, frozen=True, kw_only=True):
    """A class of your own, by its words."""

    name: DNSLabel
    """Name of the class."""
    words: Annotated[
        list[Annotated[str, Meta(max_length=64), WORD]],
        Meta(min_length=1, max_length=256, extra_json_schema=ATOMIC),
    ]
    """Words or phrases; they are found where they stand alone, in upper or lower case."""


class DataPolicy(Spec, frozen=True, kw_only=True):
    """Classes of data with rules of their own; they come before every other decision."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        _disjoint("keepLocal", "redact", lambda policy: (policy.keep_local, policy.redact)),
        _disjoint("keepLocal", "refuse", lambda policy: (policy.keep_local, policy.refuse)),
        _disjoint("redact", "refuse", lambda policy: (policy.redact, policy.refuse)),
        _known("keepLocal", lambda policy: policy.keep_local),
        _known("redact", lambda policy: policy.redact),
        _known("refuse", lambda policy: policy.refuse),
        _new("patterns", lambda policy: {each.name for each in policy.patterns}),
        _new("words", lambda policy: {each.name for each in policy.words}),
        rule(
            "!has(self.patterns) || !has(self.words) || "
            "!self.patterns.exists(p, self.words.exists(w, w.name == p.name))",
            "a name must not be in both patterns and words",
            lambda policy: {p.name for p in policy.patterns}.isdisjoint(
                w.name for w in policy.words
            ),
        ),
        rule(
            f"!has(self.redact) || !('{UNSCANNED}' in self.redact)",
            "what cannot be scanned cannot be redacted: keep it local or refuse it",
            lambda policy: UNSCANNED not in policy.redact,
        ),
    )

    keep_local: Annotated[list[DNSLabel], Meta(max_length=64, extra_json_schema=SET)] = []
    """Requests with these never leave the cluster, whatever fails. Built-in classes: email, phone,
    payment-card, iban, ip-address, national-id, secret, every type by its own name, and
    unscanned."""
    redact: Annotated[list[DNSLabel], Meta(max_length=64, extra_json_schema=SET)] = []
    """These are replaced before a request leaves the cluster, and restored in the answer."""
    refuse: Annotated[list[DNSLabel], Meta(max_length=64, extra_json_schema=SET)] = []
    """Requests with these are refused."""
    patterns: Annotated[list[Pattern], Meta(max_length=32, extra_json_schema=MAP_BY_NAME)] = []
    """Classes of your own, by regular expressions."""
    words: Annotated[list[Words], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """Classes of your own, by lists of words."""

    def own(self) -> set[str]:
        """Return the names of the classes that the policy itself brings."""
        return {p.name for p in self.patterns} | {w.name for w in self.words}
