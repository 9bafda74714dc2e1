"""Calibration states in files."""

from __future__ import annotations

from pathlib import Path

import click

from hybrid_operator.cli.main import BadInputError
from hybrid_router.table import Calibration, TableError, decode_calibration

STATE = click.Path(dir_okay=False, path_type=Path)


def read_state(path: Path) -> Calibration:
    """Read the state in a file.

    Raises:
        BadInputError: there is none that a router would take.
    """
    try:
        return decode_calibration(path.read_bytes())
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror}") from None
    except TableError as error:
        raise BadInputError(f"{path}: is no state that routers take: {error}") from None
