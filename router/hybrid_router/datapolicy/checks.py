"""Check digits and the rules around them.

What python-stdnum knows it decides (a call costs 5 to 10 µs, and only candidates of the right shape
get here). Payment cards and IBANs have their own few lines: they are met most often, and stdnum
knows neither the ranges of issuers nor a fast table of lengths.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from stdnum.br import cpf
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[str], bool]

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

es_dni: Check = dni.is_valid
es_nie: Check = nie.is_valid
fr_nir: Check = nir.is_valid
it_codice_fiscale: Check = codicefiscale.is_valid


# Of numbers that only have the right shape, a text may be full: the cheap part first.


def br_cpf(digits: str) -> bool:
    """Return whether both check digits are right."""
    total = sum(map(operator.mul, range(10, 1, -1), map(int, digits)))
    return (11 - total) % 11 % 10 == int(digits[9]) and cpf.is_valid(digits)


def de_steuer_id(digits: str) -> bool:
    """Return whether one digit of the first ten repeats, and the check digit is right."""
    return 8 <= len(set(digits[:10])) <= 9 and idnr.is_valid(digits)  # noqa: PLR2004  different ones


def nl_bsn(digits: str) -> bool:
    """Return whether the number passes the "elfproef"."""
    return bsn.checksum(digits) == 0 and bsn.is_valid(digits)


def pl_pesel(digits: str) -> bool:
    """Return whether there is such a day, and the check digit is right."""
    return digits[2:4] < "93" and digits[4:6] < "32" and pesel.is_valid(digits)


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    values = [ord(c) - 48 for c in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[v] for v in values[1::2])) % 10 == 0


_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4_000, 4_999, frozenset({13, 16, 19})),  # Visa
    (5_100, 5_599, frozenset({16})),  # Mastercard
    (2_221, 2_720, frozenset({16})),  # Mastercard, since 2017
    (2_200, 2_204, frozenset({16, 17, 18, 19})),  # Mir
    (3_400, 3_499, frozenset({15})),  # American Express
    (3_700, 3_799, frozenset({15})),
    (3_000, 3_059, frozenset({14, 16, 17, 18, 19})),  # Diners Club
    (3_600, 3_699, frozenset({14, 16, 17, 18, 19})),
    (3_800, 3_999, frozenset({14, 16, 17, 18, 19})),
    (3_528, 3_589, frozenset({16, 17, 18, 19})),  # JCB
    (6_011, 6_011, frozenset({16, 19})),  # Discover
    (6_440, 6_599, frozenset({16, 19})),
    (6_200, 6_299, frozenset({16, 17, 18, 19})),  # UnionPay
    (6_060, 6_069, frozenset({16})),  # Hipercard
    (6_362, 6_363, frozenset({16})),  # Elo
    (6_521, 6_522, frozenset({16})),  # RuPay
    (5_000, 5_099, frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro, Elo
    (5_600, 5_899, frozenset({13, 14, 15, 16, 17, 18, 19})),
    (6_304, 6_304, frozenset({13, 14, 15, 16, 17, 18, 19})),
    (6_700, 6_799, frozenset({13, 14, 15, 16, 17, 18, 19})),
)
"""First four digits and lengths, from the issuers' published ranges (ISO/IEC 7812)."""


_SIZES: Mapping[int, frozenset[int]] = {
    first: frozenset().union(*(sizes for low, high, sizes in _ISSUERS if low <= first <= high))
    for first in range(2_000, 7_000)
}


def payment_card(digits: str) -> bool:
    """Return whether an issuer gives out such numbers, and the check digit is right."""
    return len(digits) in _SIZES.get(int(digits[:4]), ()) and luhn(digits)


IBAN_LENGTHS: Mapping[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
    "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an IBAN by country (SWIFT's IBAN registry)."""


_DIGITS_ONLY = frozenset(
    {
        "AE", "AT", "BA", "BE", "CZ", "DE", "DK", "EE", "ES", "FI", "HR", "HU", "IL", "IS", "LT",
        "ME", "NO", "PL", "PT", "RS", "SE", "SI", "SK", "TN", "XK",
    }
)  # fmt: skip
"""Countries whose IBANs are digits behind the country's letters."""


def iban(text: str) -> bool:
    """Return whether the length is the country's and ISO 7064 mod 97-10 holds (upper case)."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    if text[:2] in _DIGITS_ONLY and not text[2:].isdigit():
        return False
    rotated = text[4:] + text[:4]
    return int("".join(str(int(c, 36)) for c in rotated)) % 97 == 1


def us_ssn(digits: str) -> bool:
    """Return whether the Social Security Administration may have given out the number."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return len(set(digits)) > 1 and digits != "123456789"


_NINO_NEVER = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})


def uk_nino(text: str) -> bool:
    """Return whether HMRC may have given out the number (upper case, without spaces)."""
    return text[:2] not in _NINO_NEVER


def vn_cccd(digits: str) -> bool:
    """Return whether province, sex with century, and year of birth can be (decree 137/2015)."""
    return 1 <= int(digits[:3]) <= 96 and digits[3] in "0123"  # noqa: PLR2004  provinces


def ipv4(text: str) -> bool:
    """Return whether all four parts are at most 255 and written without leading zeros."""
    return all(part == str(int(part)) and int(part) <= 255 for part in text.split("."))  # noqa: PLR2004
