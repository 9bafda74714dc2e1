"""What `hinf` prints: tables that fit 100 columns, JSON, YAML."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 100


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return `rows` under `head` in columns, the last one wrapped to keep within `WIDTH`."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(head), *cells]) for index in range(len(head))]
    room = max(WIDTH - sum(widths[:-1]) - 2 * (len(head) - 1), 20)
    return "\n".join(line for row in [list(head), *cells] for line in _lines(row, widths, room))


def _lines(row: Sequence[str], widths: Sequence[int], room: int) -> list[str]:
    first = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=False))
    text = " ".join(_broken(word, room) for word in row[-1].split(" "))
    last = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    return [(first + last[0]).rstrip(), *(" " * len(first) + more for more in last[1:])]


def _broken(word: str, room: int) -> str:
    """Return a word that is too long for a line in parts: paths break behind `/`."""
    if len(word) <= room:
        return word
    cut = word.rfind("/", 0, room) + 1
    return f"{word[:cut]} {_broken(word[cut:], room)}" if cut else word


def emit(document: Any, form: str, text: str) -> None:  # noqa: ANN401  any JSON value
    """Print `document` as JSON or YAML, or `text` where a table is wanted."""
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form == "yaml":
        import yaml  # noqa: PLC0415  costs 15 ms that a table does not need

        click.echo(yaml.safe_dump(document, sort_keys=False, width=WIDTH), nl=False)
    else:
        click.echo(text)
