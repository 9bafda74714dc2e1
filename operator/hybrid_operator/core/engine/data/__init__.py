"""The catalogues, as data: GPUs, models, tasks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


def text(name: str) -> str:
    """Return the catalogue `name` of this package."""
    # Not importlib.resources: it costs 10 ms of the 300 in which `hinf` answers.
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def rows(name: str, table: str) -> dict[str, str]:
    """Return the text of each `[[table]]` of the catalogue `name`, by the name that it begins with.

    One row is read in a fiftieth of the time that all take: Python reads TOML slowly.
    """
    found = {}
    for row in text(name).split(f"[[{table}]]\n")[1:]:
        match = re.match(r'name = "([^"]+)"\n', row)
        if match is None:
            raise ValueError(f"{name}: a {table} does not begin with its name")
        found[match[1]] = f"[[{table}]]\n{row}"
    return found
