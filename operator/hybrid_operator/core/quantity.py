"""Kubernetes quantities (`500m`, `1Gi`, `1e3`), to compare two of them by value."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]{1,3})?)(n|u|m|k|[KMGTPE]i|[MGTPE])?")


def parse(text: object) -> Decimal | None:
    """Return the value of a quantity; None for what is not one.

    Source: the grammar of `k8s.io/apimachinery/pkg/api/resource.Quantity`.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        return None
    try:
        return Decimal(match[1]) * _SUFFIXES[match[2] or ""]
    except InvalidOperation:
        return None


def equal(left: object, right: object) -> bool:
    """Whether two quantities are the same amount: `1000m` is `1`, `1024Mi` is `1Gi`."""
    if left == right:
        return True
    first, second = parse(left), parse(right)
    return first is not None and first == second
