"""What looks like data about people and is not: orders, versions, UUIDs, hashes, times, ISBNs."""

from __future__ import annotations

import string
import uuid
from typing import TYPE_CHECKING

from tests.support.personal_data.values import (
    card_digits,
    digits,
    grouped_card,
    grouped_iban,
    iban_text,
    token,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

HEX = "0123456789abcdef"


def order(r: Random) -> str:
    return r.choice((
        lambda: f"{r.randint(100, 999)}-{digits(r, 7)}-{digits(r, 7)}", lambda: digits(r, 9), lambda: digits(r, 10),
        lambda: digits(r, 8), lambda: f"ORD-{digits(r, 10)}", lambda: f"{digits(r, 3)}-{digits(r, 2)}-{digits(r, 4)}",
        lambda: f"SO{digits(r, 8)}", lambda: digits(r, 12), lambda: f"{r.randint(2020, 2026)}-{digits(r, 6)}",
        lambda: f"{token(r, 2, string.ascii_uppercase)}{digits(r, 6)}{r.choice('ABCD')}", lambda: digits(r, 11),
    ))()  # fmt: skip


def version(r: Random) -> str:
    return ".".join(str(r.randint(0, 40)) for _ in range(r.choice((3, 4, 4))))


def hash_(r: Random) -> str:
    return token(r, r.choice((7, 32, 40, 64)), HEX)


def timestamp(r: Random) -> str:
    date = f"20{r.randint(20, 26)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"
    clock = f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}"
    seconds = str(r.randint(1_600_000_000, 1_790_000_000))
    return r.choice((f"{date}T{clock}Z", f"{date} {clock}", seconds, seconds + digits(r, 3), seconds + digits(r, 9),
                     f"{date}T{clock}.{digits(r, 6)}+02:00", date.replace("-", ".")))  # fmt: skip


def isbn(r: Random) -> str:
    body = r.choice(("978", "979")) + digits(r, 9)
    check = -sum(int(c) * (1 if i % 2 == 0 else 3) for i, c in enumerate(body)) % 10
    text = f"{body}{check}"
    if r.random() < 0.5:
        return f"{text[:3]}-{text[3]}-{text[4:8]}-{text[8:12]}-{text[12]}"
    return text


def bad_card(r: Random) -> str:
    number = card_digits(r)
    return grouped_card(r, number[:-1] + str((int(number[-1]) + r.randint(1, 9)) % 10))


def bad_iban(r: Random) -> str:
    text = iban_text(r)
    return grouped_iban(r, f"{text[:2]}{(int(text[2:4]) + r.randint(1, 90)) % 97:02d}{text[4:]}")


def columns(r: Random) -> str:
    """Return a table of four-digit numbers, such as orders, quantities or amounts."""
    width = r.choice((4, 5, 6, 8))
    joint = r.choice((" | ", "\t", "  ", " "))
    rows = [[str(r.randint(1000, 9999)) for _ in range(width)] for _ in range(r.randint(2, 5))]
    lines = [f"| {joint.join(row)} |" if "|" in joint else joint.join(row) for row in rows]
    return "\n".join(lines)


def series(r: Random) -> str:
    """Return years, amounts of a list, or four-digit numbers one per line."""
    first = r.randint(1960, 2016)
    amounts = [str(r.randint(10, 99) * 100) for _ in range(r.randint(4, 9))]
    return r.choice((
        lambda: " ".join(str(first + i) for i in range(8)), lambda: "-".join(str(first + 10 * i) for i in range(4)),
        lambda: ", ".join(amounts), lambda: " + ".join(amounts), lambda: "\n".join(amounts),
        lambda: "\n".join(str(r.randint(1000, 9999)) for _ in range(8)),
        lambda: "/".join((str(first), f"{r.randint(1, 12):02d}", f"{r.randint(1, 28):02d}")),
    ))()  # fmt: skip


def in_name(r: Random) -> str:
    """Return a number in groups that is a part of a name: a licence key, a file."""
    fours = "-".join(str(r.randint(1000, 9999)) for _ in range(4))
    return r.choice((f"{token(r, 4, string.ascii_uppercase)}-{fours}", f"{fours}-{token(r, 4, string.ascii_uppercase)}",
                     f"IMG_{r.randint(2015, 2026)}{digits(r, 4)}_{digits(r, 6)}",
                     f"v{r.randint(1, 9)}.{digits(r, 4)}.{digits(r, 4)}.{digits(r, 4)}"))  # fmt: skip


NEGATIVES: dict[str, Callable[[Random], str]] = {
    "order": order,
    "version": version,
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "hash": hash_,
    "timestamp": timestamp,
    "isbn": isbn,
    "bad-card": bad_card,
    "bad-iban": bad_iban,
    "columns": columns,
    "series": series,
    "in-name": in_name,
    "mac": lambda r: ":".join(token(r, 2, HEX) for _ in range(6)),
    "amount": lambda r: f"{r.randint(1, 99)}.{digits(r, 3)}.{digits(r, 3)},{digits(r, 2)}",
}
