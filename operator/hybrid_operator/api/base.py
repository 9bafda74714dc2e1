"""What every part of the resource is built from: base class, rules, and scalar types.

Decimals that matter are strings, as the Kubernetes API convention asks (no floats), and are read
with `Decimal`. Quantities and durations are written as Kubernetes writes them (`4Gi`, `15m`).

What a value must look like is said once and checked twice: by CEL in the API server and by Python
here, for files that no API server has seen. Both say the same sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "hybridinference.dev"
VERSION = "v1alpha1"
KIND = "HybridInference"
PLURAL = "hybridinferences"
SHORT_NAME = "hinf"

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
MAP_KEYS = "x-kubernetes-list-map-keys"


class Problem(msgspec.Struct, frozen=True, order=True):
    """What is wrong with a resource, and where (`spec.models[1].accelerator.type`)."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def below(self, path: str) -> Problem:
        """Return the same problem, with its path continued upwards by `path`."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return Problem(f"{path}{joint}{self.path}", self.message)


class Rule(msgspec.Struct, frozen=True):
    """What must hold between the fields of one part, for the API server and for Python."""

    cel: str
    """Expression over `self`; true where all is well."""
    message: str
    find: Callable[[Any], Iterable[Problem]]
    """Return the problems of a part, their paths relative to it."""
    field: str = ""
    """The field below the part that a problem is about (`.routing.aliases`)."""

    def entry(self) -> dict[str, str]:
        """Return the entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = self.field
        return entry


def rule(cel: str, message: str, holds: Callable[[Any], bool]) -> Rule:
    """Return a rule about a part as a whole, with a predicate that says the same as `cel`."""
    found = (Problem("", message),)
    return Rule(cel, message, lambda part: () if holds(part) else found)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_camel):
    """A part of the resource: frozen, camelCase on the wire, what has its default left out.

    Unknown fields are ignored when one is built (an operator may be older than the CRD); the API
    server prunes them, and `read` names them where a person wrote them.
    """

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between the fields."""


class Shape(msgspec.Struct, frozen=True):
    """What a string must look like. Stands last in its `Annotated`, after the length.

    `pattern` is a regular expression for the whole string that RE2 and Python read alike, without
    quotes and backslashes. `more_cel` and `more` narrow it further, the one for CEL, the other for
    Python.
    """

    pattern: str
    message: str
    more_cel: str = ""
    more: Callable[[str], bool] | None = None

    def cel(self, subject: str = "self") -> str:
        """Return the CEL expression that says whether `subject` has this shape."""
        matches = f"{subject}.matches('^({self.pattern})$')"
        return f"{matches} && {self.more_cel}" if self.more_cel else matches

    def holds(self, text: str) -> bool:
        """Return whether `text` has this shape."""
        if re.fullmatch(self.pattern, text) is None:
            return False
        return self.more is None or self.more(text)

    def entry(self) -> dict[str, str]:
        """Return the entry of `x-kubernetes-validations`."""
        return {"rule": self.cel(), "message": self.message}


MAP_BY_NAME: dict[str, Any] = {LIST_TYPE: "map", MAP_KEYS: ["name"]}
SET: dict[str, Any] = {LIST_TYPE: "set"}
ATOMIC: dict[str, Any] = {LIST_TYPE: "atomic"}

_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_DURATION_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti)")
_QUANTITY_BYTES: Mapping[str, int] = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DAY_SECONDS = 86_400


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo  # noqa: PLC0415  few resources name one

    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # none, a folder of them, or no name at all
        return False
    return True


def _seconds(text: str) -> Decimal:
    parts = _DURATION.findall(text)
    return sum((int(number) * _DURATION_SECONDS[unit] for number, unit in parts), Decimal(0))


def duration(text: str) -> timedelta:
    """Read a Kubernetes duration such as `1h30m`, of at most a day.

    Raises:
        ValueError: `text` is not one.
    """
    if not DURATION.holds(text):
        raise ValueError(f"{text!r} {DURATION.message}")
    return timedelta(seconds=float(_seconds(text)))


def quantity_bytes(text: str) -> int:
    """Read an amount of memory with a binary unit, such as `4Gi`, as bytes.

    Raises:
        ValueError: `text` is not one; decimal units (GB, G) are refused on purpose.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} {QUANTITY.message}")
    return int(Decimal(match[1]) * _QUANTITY_BYTES[match[2]])


DNS_LABEL = Shape(
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "must be a DNS label: lower-case letters, digits and '-', at most 63 of them, "
    "beginning and ending with a letter or digit",
)
MODEL_NAME = Shape(
    "[A-Za-z0-9][A-Za-z0-9._:/@-]*",
    "must be a model name: letters, digits and any of . _ : / @ -, "
    "beginning with a letter or digit",
)
CATALOG_NAME = Shape(
    "[a-z0-9]([-a-z0-9._]*[a-z0-9])?",
    "must be a catalogue name such as llama-3-8b: lower-case letters, digits and any of - . _",
)
OBJECT_NAME = Shape(
    "[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
    "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', "
    "beginning and ending with a letter or digit",
)
SECRET_KEY = Shape(
    "[A-Za-z0-9_-][A-Za-z0-9._-]*|[.][A-Za-z0-9_-][A-Za-z0-9._-]*",
    "must be a key of a Secret: letters, digits and any of - _ .",
)
IMAGE = Shape(
    "[A-Za-z0-9][A-Za-z0-9._:/@-]*",
    "must be an image reference such as registry.example.com/team/image:tag",
)
RELATIVE_PATH = Shape(
    "|[^/].*",
    "must be a path relative to the root of the volume, without '..'",
    more_cel="!self.contains('..')",
    more=lambda text: ".." not in text,
)
ABSOLUTE_PATH = Shape(
    "/.*",
    "must be an absolute path without '..'",
    more_cel="!self.contains('..')",
    more=lambda text: ".." not in text,
)
QUANTITY = Shape(
    "[0-9]+([.][0-9]+)?(Ki|Mi|Gi|Ti)",
    "must be an amount of memory above 0 with a binary unit, such as 512Mi or 4Gi "
    "(Gi is GiB; G and GB are not understood)",
    more_cel="self.matches('[1-9]')",
    more=lambda text: re.search("[1-9]", text) is not None,
)
DURATION = Shape(
    "([0-9]{1,6}(ms|s|m|h))+",
    "must be a duration above 0 and of at most 24h, such as 90s, 15m or 1h30m (units: ms, s, m, h)",
    more_cel="duration(self) > duration('0s') && duration(self) <= duration('24h')",
    more=lambda text: 0 < _seconds(text) <= _DAY_SECONDS,
)
TIME_ZONE = Shape(
    "UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+",
    "must be UTC or an IANA time zone as area/place, such as Europe/Berlin",
    more_cel="timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",  # an error where none is
    more=_is_zone,
)
FRACTION = Shape(
    "0([.][0-9]+)?|1([.]0+)?",
    'must be a decimal from 0 to 1, written as a string such as "0.85"',
)
AMOUNT = Shape(
    "[0-9]+([.][0-9]+)?",
    'must be an amount in US dollars, written as a string without a currency sign, such as "1.50"',
)

TimeZone = Annotated[str, Meta(max_length=64), TIME_ZONE]
DNSLabel = Annotated[str, Meta(max_length=63), DNS_LABEL]
ModelName = Annotated[str, Meta(max_length=128), MODEL_NAME]
"""A name that clients or providers use: looser than a DNS label."""
CatalogName = Annotated[str, Meta(max_length=63), CATALOG_NAME]
ObjectName = Annotated[str, Meta(max_length=253), OBJECT_NAME]
Image = Annotated[str, Meta(max_length=512), IMAGE]
RelativePath = Annotated[str, Meta(max_length=512), RELATIVE_PATH]
AbsolutePath = Annotated[str, Meta(max_length=512), ABSOLUTE_PATH]
Quantity = Annotated[str, Meta(max_length=16), QUANTITY]
"""Memory, in a binary unit; read with `quantity_bytes`."""
Duration = Annotated[str, Meta(max_length=16), DURATION]
"""Read with `duration`."""
Fraction = Annotated[str, Meta(max_length=16), FRACTION]
"""Read with `Decimal`."""
USD = Annotated[str, Meta(max_length=24), AMOUNT]
"""US dollars; read with `Decimal`."""


class SecretKeyRef(Spec, frozen=True, kw_only=True):
    """One key of a Secret in the resource's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Meta(max_length=253), SECRET_KEY]
    """Key within the Secret."""


class SecretValue(Spec, frozen=True, kw_only=True):
    """A secret, named and never written here."""

    secret_key_ref: SecretKeyRef
    """Where the secret is."""
