"""What somebody wrote, as plain values that can be compared: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_operator.api.base import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping


def canonical(value: object) -> str:
    """Return JSON that is the same for the same value."""
    return msgspec.json.encode(value, order="deterministic").decode()


def said(part: Spec) -> Mapping[str, Any]:
    """Return what was written of a part, by the names on the wire.

    As `model_dump` would, for which pydantic would first have to build a serializer of the part.
    """
    fields = type(part).model_fields
    return {
        fields[name].alias or name: _plain(getattr(part, name)) for name in part.model_fields_set
    }


def _plain(value: object) -> object:
    if isinstance(value, Spec):
        return said(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value
