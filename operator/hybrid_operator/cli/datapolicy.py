"""`hinf datapolicy`: what the detectors of the data policy find in a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli import texts
from hybrid_operator.cli.main import BadInputError
from hybrid_router.datapolicy.scanner import Scanner
from hybrid_router.table import GROUPS, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.group()
def datapolicy() -> None:
    """Try the detectors of the data policy, without a cluster."""


@datapolicy.command()
@click.argument("file")
def scan(file: str) -> None:
    """Find personal data and secrets in the texts of FILE.

    FILE (- reads standard input) is JSON Lines: {"text": "..."} a line in, {"spans": [{"type",
    "start", "end"}]} a line out; offsets are in characters. `group` names the class that a type
    belongs to besides its own. A span at -1 is nowhere: the text has too many places to look at,
    so the type counts as found.
    """
    scanner = Scanner(TYPES)
    for text in _texts(file):
        spans = [_shown(span.type, span.start, span.end) for span in scanner.scan(text)]
        click.echo(json.dumps({"spans": spans}))


def _shown(type_: str, start: int, end: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"type": type_, "start": start, "end": end}
    group = next((name for name, types in GROUPS.items() if type_ in types), None)
    return shown if group is None else {**shown, "group": group}


def _texts(file: str) -> Iterator[str]:
    for number, line in texts.lines(file):
        try:
            found = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, str):
            raise BadInputError(f'{file}: line {number} is not {{"text": "..."}}')
        yield found
