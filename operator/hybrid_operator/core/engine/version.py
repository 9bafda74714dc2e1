"""vLLM releases, to be compared."""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?")


class Version(NamedTuple):
    """A release of vLLM, such as 0.32.0."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version:
    """Read `0.32` or `0.32.0`.

    Raises:
        ValueError: `text` is neither.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a vLLM release such as 0.32 or 0.32.0")
    return Version(int(match[1]), int(match[2]), int(match[3] or 0))
