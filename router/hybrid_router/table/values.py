"""What the parts of a table are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[ -~]*(?!\n)$")]
"""Printable ASCII: names travel in response headers and in metric labels."""
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
USDPerMillionTokens = Annotated[float, Meta(ge=0)]


class TableError(ValueError):
    """The document is not a RouteTable that this router serves; the message says where and why."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Frozen values, camelCase in JSON, defaults left out."""


class SecretRef(Part, frozen=True):
    """Where the router finds a secret: a file's path or an environment variable's name."""

    file: Name | None = None
    env: Name | None = None


class RateLimits(Part, frozen=True):
    """What may be asked for per minute, over all routers; each enforces its share."""

    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Prompt and answer, as far as the answer is allowed to be long; corrected when it is known."""
