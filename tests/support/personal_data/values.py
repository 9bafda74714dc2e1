"""Values of every type, valid, in the ways people write them. Nobody's: drawn from a seed."""

from __future__ import annotations

import base64
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

ALNUM = string.ascii_letters + string.digits
FIRST = [
    "anna",
    "ben",
    "carla",
    "david",
    "elena",
    "finn",
    "greta",
    "hugo",
    "ines",
    "jan",
    "kim",
    "lea",
    "minh",
    "nora",
    "otto",
    "paula",
    "rosa",
]
LAST = [
    "berg",
    "costa",
    "dubois",
    "ferrari",
    "garcia",
    "huang",
    "jansen",
    "kowalski",
    "meyer",
    "nguyen",
    "olsen",
    "rossi",
    "smith",
]
DOMAINS = ("example.com", "bücher.example", "müller-söhne.de", "mail.example.org", "acme-corp.de", "uni-koeln.de", "empresa.com.br",
           "firma.pl", "cty.com.vn", "societe.fr", "ditta.it", "bedrijf.nl", "corp.co.uk", "kaisha.co.jp")  # fmt: skip
ELSEWHERE = ("用户@例子.公司", "иван.петров@почта.рф", "jürgen@größe.example", "kim@tênmiền.vn",
             "minh@例え.jp", "νίκος@παράδειγμα.ελ")  # fmt: skip
"""Addresses with letters beyond ASCII on either side (RFC 6531, RFC 5890)."""


def digits(r: Random, count: int) -> str:
    return "".join(r.choice(string.digits) for _ in range(count))


def token(r: Random, count: int, alphabet: str = ALNUM) -> str:
    return "".join(r.choice(alphabet) for _ in range(count))


def email(r: Random) -> str:
    if r.random() < 0.06:
        return r.choice(ELSEWHERE)
    first, last = r.choice(FIRST), r.choice(LAST)
    local = r.choice((f"{first}.{last}", f"{first}{r.randint(1, 99)}", f"{first[0]}{last}",
                      f"{first}+{last}", f"{last}_{first}", f"{first}-{last}", first.title()))  # fmt: skip
    return f"{local}@{r.choice(DOMAINS)}"


def _luhn_digit(body: str) -> str:
    total = 0
    for index, char in enumerate(reversed(body)):
        value = int(char) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card_digits(r: Random) -> str:
    prefix, length = r.choice((("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15),
                               ("6011", 16), ("65", 16), ("3530", 16), ("36", 14), ("4", 16)))  # fmt: skip
    body = prefix + digits(r, length - len(prefix) - 1)
    return body + _luhn_digit(body)


WRAPS = ("\n", "\n  ", "\r\n", " \n")
"""Ends of lines, as in mail and in text copied from a document."""


def in_groups(r: Random, parts: list[str]) -> str:
    """Join the groups of a number: mostly by nothing, a space or a dash, else in one of many ways."""
    way = r.choice(
        ("plain",) * 6 + ("wrapped", "wide", "tabs", "markup", "underscore", "cells", "nbsp")
    )
    if way == "wrapped":
        at = r.randint(1, len(parts) - 1)
        return " ".join(parts[:at]) + r.choice(WRAPS) + " ".join(parts[at:])
    if way == "markup":
        at, mark = r.randrange(len(parts) - 1), r.choice(("**", "*", "`"))
        return " ".join([*parts[:at], f"{mark}{parts[at]}{mark}", *parts[at + 1 :]]).lstrip("*`")
    joints = {"wide": "  ", "tabs": "\t", "underscore": "_", "cells": " | ", "nbsp": "\u00a0"}
    return joints.get(way, r.choice(("", " ", " ", "-"))).join(parts)


def grouped_card(r: Random, number: str) -> str:
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(len(number), (4, 4, 4, 4))
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return in_groups(r, parts)


def payment_card(r: Random) -> str:
    return grouped_card(r, card_digits(r))


def iban_text(r: Random) -> str:
    country, bban = r.choice((
        ("DE", digits(r, 18)), ("FR", digits(r, 10) + token(r, 11, string.digits) + digits(r, 2)),
        ("ES", digits(r, 20)), ("IT", r.choice("ABXYZ") + digits(r, 10) + digits(r, 12)),
        ("NL", r.choice(("ABNA", "INGB", "RABO")) + digits(r, 10)), ("PL", digits(r, 24)),
        ("GB", r.choice(("NWBK", "BARC", "LOYD")) + digits(r, 14)), ("PT", digits(r, 21)),
        ("CH", digits(r, 17)), ("AT", digits(r, 16)), ("BE", digits(r, 12)),
        ("BR", digits(r, 23) + "C1"), ("SE", digits(r, 20)), ("IE", "AIBK" + digits(r, 14)),
    ))  # fmt: skip
    number = int("".join(str(int(c, 36)) for c in f"{bban}{country}00"))
    return f"{country}{98 - number % 97:02d}{bban}"


def grouped_iban(r: Random, text: str) -> str:
    if r.random() < 0.4:
        return text
    return in_groups(r, [text[i : i + 4] for i in range(0, len(text), 4)])


def iban(r: Random) -> str:
    return grouped_iban(r, iban_text(r))


def us_ssn(r: Random) -> str:
    area = r.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{r.randint(1, 99):02d}-{r.randint(1, 9999):04d}"


def uk_nino(r: Random) -> str:
    while True:
        prefix = r.choice("ABCEGHJKLMNOPRSTWXYZ") + r.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
            break
    number, last = digits(r, 6), r.choice("ABCD")
    if r.random() < 0.4:
        return f"{prefix} {number[:2]} {number[2:4]} {number[4:]} {last}"
    return f"{prefix}{number}{last}"


def de_steuer_id(r: Random) -> str:
    while True:
        ten = [r.randint(1, 9)]
        pool = r.sample([d for d in range(10) if d != ten[0]], 8)
        ten += [*pool, r.choice([ten[0], *pool])]
        rest = ten[1:]
        r.shuffle(rest)
        ten = [ten[0], *rest]
        product = 10
        for value in ten:
            product = ((value + product) % 10 or 10) * 2 % 11
        text = "".join(map(str, ten)) + str((11 - product) % 10)
        if not any(text[i] == text[i + 1] == text[i + 2] for i in range(9)):
            break
    return f"{text[:2]} {text[2:5]} {text[5:8]} {text[8:]}" if r.random() < 0.5 else text


def fr_nir(r: Random) -> str:
    body = (f"{r.choice('12')}{r.randint(40, 99):02d}{r.randint(1, 12):02d}{r.randint(1, 95):02d}"
            f"{r.randint(1, 990):03d}{r.randint(1, 999):03d}")  # fmt: skip
    if body[5:7] == "20":
        body = body[:5] + "21" + body[7:]
    key = f"{97 - int(body) % 97:02d}"
    if r.random() < 0.5:
        return f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}"
    return body + key


def es_dni(r: Random) -> str:
    letters = "TRWAGMYFPDXBNJZSQVHLCKE"
    if r.random() < 0.3:
        first, body = r.choice("XYZ"), digits(r, 7)
        last = letters[int(str("XYZ".index(first)) + body) % 23]
        return f"{first}-{body}-{last}" if r.random() < 0.3 else f"{first}{body}{last}"
    body = digits(r, 8)
    return f"{body}{r.choice(('', '', '-'))}{letters[int(body) % 23]}"


_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11,
                 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))  # fmt: skip


def it_codice_fiscale(r: Random) -> str:
    consonants = "BCDFGLMNPRSTVZ"
    body = (token(r, 6, consonants) + digits(r, 2) + r.choice("ABCDEHLMPRST")
            + f"{r.randint(1, 28):02d}" + r.choice("ABCDEFGHIL") + digits(r, 3))  # fmt: skip
    total = 0
    for index, char in enumerate(body):
        even = int(char) if char.isdigit() else ord(char) - 65
        total += _ODD[char] if index % 2 == 0 else even
    return body + chr(65 + total % 26)


def nl_bsn(r: Random) -> str:
    while True:
        body = str(r.randint(1, 9)) + digits(r, 7)
        check = sum(int(c) * w for c, w in zip(body, range(9, 1, -1), strict=True)) % 11
        if check < 10:
            return f"{body}{check}"


def pl_pesel(r: Random) -> str:
    year = r.randint(1940, 2009)
    month = r.randint(1, 12) + (20 if year >= 2000 else 0)
    body = f"{year % 100:02d}{month:02d}{r.randint(1, 28):02d}{digits(r, 4)}"
    check = sum(int(c) * w for c, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True))
    return f"{body}{-check % 10}"


def br_cpf(r: Random) -> str:
    body = digits(r, 9)
    for size in (10, 11):
        total = sum(int(c) * w for c, w in zip(body, range(size, 1, -1), strict=True))
        body += str(total * 10 % 11 % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}" if r.random() < 0.6 else body


def vn_cccd(r: Random) -> str:
    return f"{r.randint(1, 96):03d}{r.choice('0123')}{digits(r, 8)}"


_PHONES: dict[str, tuple[Callable[[Random], str], ...]] = {
    "en": (lambda r: f"({r.randint(201, 989)}) {r.randint(201, 989)}-{digits(r, 4)}",
           lambda r: f"{r.randint(201, 989)}-{r.randint(201, 989)}-{digits(r, 4)}",
           lambda r: f"+1 {r.randint(201, 989)} {r.randint(201, 989)} {digits(r, 4)}",
           lambda r: f"020 7{digits(r, 3)} {digits(r, 4)}", lambda r: f"07{digits(r, 3)} {digits(r, 6)}",
           lambda r: f"+44 7{digits(r, 3)} {digits(r, 6)}", lambda r: f"+1{r.randint(201, 989)}{r.randint(201, 989)}{digits(r, 4)}"),
    "de": (lambda r: f"+49 1{r.choice('567')}{r.randint(0, 9)} {digits(r, 8)}",
           lambda r: f"0{r.choice(('30', '40', '89', '221'))} {digits(r, 7)}",
           lambda r: f"01{r.choice('567')}{r.randint(0, 9)}/{digits(r, 7)}",
           lambda r: f"0049 {r.choice(('30', '89'))} {digits(r, 7)}", lambda r: f"+49 (0)30 {digits(r, 7)}"),
    "fr": (lambda r: f"0{r.choice('1267')} " + " ".join(digits(r, 2) for _ in range(4)),
           lambda r: f"+33 {r.choice('1267')} " + " ".join(digits(r, 2) for _ in range(4)),
           lambda r: f"0{r.choice('67')}." + ".".join(digits(r, 2) for _ in range(4)),
           lambda r: f"0{r.choice('67')}{digits(r, 8)}"),
    "es": (lambda r: f"6{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}", lambda r: f"+34 9{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}",
           lambda r: f"+346{digits(r, 8)}", lambda r: f"6{digits(r, 8)}"),
    "it": (lambda r: f"3{digits(r, 2)} {digits(r, 3)} {digits(r, 4)}", lambda r: f"+39 3{digits(r, 2)} {digits(r, 7)}",
           lambda r: f"02 {digits(r, 4)} {digits(r, 4)}", lambda r: f"3{digits(r, 9)}"),
    "nl": (lambda r: f"06-{digits(r, 8)}", lambda r: f"+31 6 {digits(r, 8)}", lambda r: f"020-{digits(r, 7)}",
           lambda r: f"06 {digits(r, 8)}"),
    "pl": (lambda r: f"+48 {digits(r, 3)} {digits(r, 3)} {digits(r, 3)}".replace("+48 0", "+48 5"),
           lambda r: f"{r.randint(5, 8)}{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}",
           lambda r: f"{r.randint(5, 8)}{digits(r, 2)}-{digits(r, 3)}-{digits(r, 3)}"),
    "pt": (lambda r: f"({r.randint(11, 99)}) 9{digits(r, 4)}-{digits(r, 4)}", lambda r: f"+55 {r.randint(11, 99)} 9{digits(r, 4)}-{digits(r, 4)}",
           lambda r: f"+351 9{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}"),
    "vi": (lambda r: f"09{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}", lambda r: f"+84 9{digits(r, 8)}",
           lambda r: f"03{digits(r, 8)}", lambda r: f"0{r.choice('3579')}{digits(r, 1)}.{digits(r, 3)}.{digits(r, 4)}"),
    "ja": (lambda r: f"0{r.choice('789')}0-{digits(r, 4)}-{digits(r, 4)}", lambda r: f"03-{digits(r, 4)}-{digits(r, 4)}",
           lambda r: f"+81 90-{digits(r, 4)}-{digits(r, 4)}", lambda r: f"+81-3-{digits(r, 4)}-{digits(r, 4)}"),
}  # fmt: skip


def phone(r: Random, language: str) -> str:
    return r.choice(_PHONES[language])(r)


def ipv4(r: Random) -> str:
    return f"{r.choice((10, 172, 192, 203, 45, 88))}." + ".".join(
        str(r.randint(0, 255)) for _ in range(3)
    )


def ipv6(r: Random) -> str:
    groups = [f"{r.randint(1, 65535):x}" for _ in range(8)]
    form = r.randint(0, 3)
    if form == 0:
        return "2001:db8:" + ":".join(groups[:6])
    if form == 1:
        return f"2001:db8::{groups[0]}"
    if form == 2:
        return f"fe80::{groups[0]}:{groups[1][:2]}ff:fe{groups[2][:2]}:{groups[3]}"
    return "2a02:8071:" + ":".join(groups[:3]) + "::1"


def _segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jwt(r: Random) -> str:
    head = _segment('{"alg":"HS256","typ":"JWT"}')
    claims = _segment('{"sub":"' + digits(r, 8) + '","iat":1700000000}')
    return f"{head}.{claims}.{token(r, 43, ALNUM + '_-')}"


_BEGIN, _END = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
_PASSWORDS = ("Sommer", "Winter", "hunter", "Tr0ub4dor", "letmein", "dragon", "S3cr3t", "Admin")
SECRETS: dict[str, Callable[[Random], str]] = {
    "aws-access-key": lambda r: r.choice(("AKIA", "ASIA")) + token(r, 16, string.ascii_uppercase + "234567"),
    "github-token": lambda r: r.choice((f"ghp_{token(r, 36)}", f"github_pat_{token(r, 22)}_{token(r, 59)}")),
    "gitlab-token": lambda r: f"glpat-{token(r, 20)}",
    "slack-token": lambda r: f"xoxb-{digits(r, 12)}-{digits(r, 12)}-{token(r, 24)}",
    "openai-key": lambda r: r.choice((f"sk-{token(r, 48)}", f"sk-proj-{token(r, 64)}")),
    "anthropic-key": lambda r: f"sk-ant-api03-{token(r, 93)}AA",
    "google-api-key": lambda r: f"AIza{token(r, 35, ALNUM + '_-')}",
    "stripe-key": lambda r: f"sk_live_{token(r, 24)}",
    "npm-token": lambda r: f"npm_{token(r, 36)}",
    "pypi-token": lambda r: f"pypi-AgEIcHlwaS5vcmc{token(r, 70)}",
    "jwt": jwt,
    "private-key": lambda r: _BEGIN + "\n"
                             + "\n".join(token(r, 64, ALNUM + "+/") for _ in range(4))
                             + "\n" + _END,
}  # fmt: skip


def password(r: Random) -> str:
    return f"{r.choice(_PASSWORDS)}{r.randint(10, 9999)}{r.choice('!#$%&*')}"


VALUES: dict[str, Callable[[Random], str]] = {
    "email": email, "payment-card": payment_card, "iban": iban, "us-ssn": us_ssn, "uk-nino": uk_nino,
    "de-steuer-id": de_steuer_id, "fr-nir": fr_nir, "es-dni": es_dni, "it-codice-fiscale": it_codice_fiscale,
    "nl-bsn": nl_bsn, "pl-pesel": pl_pesel, "br-cpf": br_cpf, "vn-cccd": vn_cccd, "ipv4": ipv4, "ipv6": ipv6,
    "password": password, **SECRETS,
}  # fmt: skip
CHECKED = (
    "payment-card",
    "iban",
    "de-steuer-id",
    "fr-nir",
    "es-dni",
    "it-codice-fiscale",
    "nl-bsn",
    "pl-pesel",
    "br-cpf",
)
"""Types with check digits."""
