"""What `hinf` reads as text: files, standard input and arguments, in UTF-8 and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from hybrid_operator.cli.main import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STDIN = "-"


def read(path: str) -> str:
    """Return the text of the file `path`, or of standard input for `-`.

    Raises:
        BadInputError: it cannot be read, or is not text in UTF-8; the message says where.
    """
    with _opened(path) as file:
        return decoded(file.read(), path)


def lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold anything, each with its number from 1, as they come.

    Raises:
        BadInputError: as `read` does.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, decoded(line, path, number)


def decoded(data: bytes, name: str, line: int = 1) -> str:
    """Return bytes as text; `name` says what they are, `line` which line of it begins there.

    Raises:
        BadInputError: they are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line += before.count(b"\n")
        byte = error.start - before.rfind(b"\n")
        raise BadInputError(f"{name}: line {line}, byte {byte}: is not text in UTF-8") from None


def argument(text: str, name: str) -> str:
    """Return an argument of the command line, which may hold any bytes.

    Raises:
        BadInputError: they are not UTF-8.
    """
    return decoded(text.encode(errors="surrogateescape"), name)


def _opened(path: str) -> BinaryIO:
    try:
        return cast("BinaryIO", click.open_file(path, "rb"))
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror}") from None
