"""Detectors of e-mail addresses, phone numbers and IP addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hybrid_router.datapolicy import checks
from hybrid_router.datapolicy.detector import (
    BEGIN,
    END,
    RIGHT,
    Detector,
    Strength,
    form,
    glued,
)
from hybrid_router.datapolicy.identity import (
    SPACED_FIVE,
    TRIPLES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# E-mail.

_FILES = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "html", "json", "yaml",
     "yml", "xml", "md", "txt", "java", "class", "exe", "dll", "zip", "tar", "gz", "local-only"}
)  # fmt: skip
"""Endings of file names such as `logo@2x.png`; none of them is a top-level domain but zip."""

# Letters beyond ASCII: Latin ones, and those of other scripts (no punctuation, no signs).
_ACCENTED = rb"[\xc3-\xca][\x80-\xbf]|\xe1[\xb8-\xbb][\x80-\xbf]"
_OTHER = (
    rb"(?:[\xce-\xdf][\x80-\xbf]|[\xe0\xe4-\xed][\x80-\xbf]{2}|\xe3[\x81-\xbf][\x80-\xbf]"
    rb"|\xe1[\x80-\xb7\xbc-\xbf][\x80-\xbf])"
)
_LOCAL = (
    rb"(?:(?:[A-Za-z0-9_]|" + _ACCENTED + rb")(?:[A-Za-z0-9._%+'\-]|" + _ACCENTED + rb"){0,63})"
)
_LOCAL_ELSEWHERE = _OTHER + rb"{1,20}(?:[._\-]" + _OTHER + rb"{1,20}){0,3}"
"""Without Latin letters: other ones beside them are words before an address, or look-alikes."""
_LETTER = rb"(?:[A-Za-z0-9]|" + _ACCENTED + b"|" + _OTHER + b")"
_DOMAIN = (
    rb"(?:" + _LETTER + rb"(?:(?:" + _LETTER + rb"|-){0,61}" + _LETTER + rb")?\.){1,8}"
    rb"(?:xn--[A-Za-z0-9\-]{2,40}|[A-Za-z]{2,24}|" + _OTHER + rb"{2,16})"
)


def _email(text: str, buffer: bytes, start: int, end: int) -> Strength:
    local, _, domain = text.rpartition("@")
    if domain.rpartition(".")[2].lower() in _FILES or local.endswith(".") or ".." in local:
        return Strength.NONE
    if buffer[max(0, start - 1) : start] in {b":", b"/"} and _in_authority(buffer, start):
        return Strength.NONE  # what stands before the host of an address
    scp = buffer[end : end + 1] == b":" and buffer[end + 1 : end + 2].isalpha()
    if scp and local.lower() in {"git", "hg", "svn"}:
        return Strength.NONE  # git@github.com:owner/repository
    return Strength.STRONG


def _in_authority(buffer: bytes, start: int) -> bool:
    """Return whether a place lies between `://` and the next slash or space."""
    before = buffer[max(0, start - 80) : start]
    at = before.rfind(b"://")
    return at >= 0 and not re.search(rb"[\s/\"']", before[at + 3 :])


# Phone.

_COUNTRY_DIGITS: Mapping[str, tuple[int, int]] = {
    "1": (11, 11), "7": (11, 11), "20": (11, 12), "27": (11, 11), "30": (12, 12), "31": (11, 11),
    "32": (10, 11), "33": (11, 11), "34": (11, 11), "36": (10, 11), "39": (8, 13), "40": (11, 11),
    "41": (11, 11), "43": (8, 15), "44": (11, 12), "45": (10, 10), "46": (9, 12), "47": (10, 10),
    "48": (11, 11), "49": (8, 15), "51": (10, 11), "52": (12, 13), "54": (11, 13), "55": (12, 13),
    "56": (11, 11), "57": (11, 12), "60": (10, 12), "61": (11, 11), "62": (10, 14), "63": (11, 12),
    "64": (10, 12), "65": (10, 10), "66": (10, 11), "81": (11, 12), "82": (10, 12), "84": (11, 12),
    "86": (11, 13), "90": (12, 12), "91": (12, 12), "92": (12, 12), "351": (12, 12),
    "353": (10, 12), "358": (9, 13), "380": (12, 12), "420": (12, 12), "852": (11, 11),
    "886": (10, 12), "966": (11, 12), "971": (11, 12), "972": (11, 12),
}  # fmt: skip
"""Digits of a whole number by calling code (ITU-T E.164 and the national numbering plans)."""

_A_DIGIT = re.compile(rb"\d[ .\-]$")
_NOT_DIGIT = re.compile(r"\D+")
_TRUNK = re.compile(r"\(0\)")
_DATE = re.compile(
    r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2}(?![./-]))(?!\d)"
)


def _international(text: str, buffer: bytes, start: int, end: int) -> Strength:
    plus = text[0] == "+"
    digits = _NOT_DIGIT.sub("", _TRUNK.sub("", text))
    digits = digits if plus else digits[2:]
    for size in (1, 2, 3):
        bounds = _COUNTRY_DIGITS.get(digits[:size])
        if bounds is not None:
            low, high = bounds
            break
    else:
        low, high = 9, 15
    if not low <= len(digits) <= high or digits.startswith("0"):
        return Strength.NONE
    if plus:
        return Strength.NONE if buffer[start - 1 : start].isalnum() else Strength.STRONG
    if glued(buffer, start, end):
        return Strength.NONE
    return Strength.MEDIUM if len(text) > len(digits) + 2 else Strength.WEAK


def _national(
    strength: Strength, low: int = 9, high: int = 12
) -> Callable[[str, bytes, int, int], Strength]:
    def judge(text: str, buffer: bytes, start: int, end: int) -> Strength:
        count = len(_NOT_DIGIT.sub("", text))
        if not low <= count <= high or _DATE.match(text) or glued(buffer, start, end):
            return Strength.NONE
        inside = (
            _A_DIGIT.search(buffer[start - 2 : start]) or buffer[end : end + 2].strip().isdigit()
        )
        return Strength.WEAK if inside else strength

    return judge


def _bare(_text: str, buffer: bytes, start: int, end: int) -> Strength:
    """Judge digits without separators: only a word nearby makes them a phone number."""
    return Strength.NONE if glued(buffer, start, end) else Strength.WEAK


_LABELLED = (
    rb"(?:phone|mobile|cell|fax|tel|telefon|t\xc3\xa9l|t\xc3\xa9l\xc3\xa9phone|telefone|telefono|"
    rb"tel\xc3\xa9fono|telefoon|m\xc3\xb3vil|celular|cellulare|mobiel|mobil|handy|kom|"
    rb"tho\xe1\xba\xa1i|s\xc4\x91t|sdt|whatsapp|gsm|portable|"
    rb"\xe9\x9b\xbb\xe8\xa9\xb1|\xe7\x94\xb5\xe8\xaf\x9d|\xe6\x89\x8b\xe6\x9c\xba|\xd1\x82\xd0\xb5\xd0\xbb)"
)

_GROUPS = (
    TRIPLES,
    rb"000[ .\-]0000" + RIGHT,
    *SPACED_FIVE,
    rb"0 00 00" + RIGHT,
    rb"00-00-00-00" + RIGHT,
    rb"00\.00\.00" + RIGHT,
    rb"[^0A]000-00-00" + RIGHT,
    rb"\) ?0{6,8}" + RIGHT,
)
"""Ends of phone numbers written in groups."""

_PHONES: tuple[Detector, ...] = (
    Detector(
        "phone",
        re.compile(
            rb"(?<![0-9A-Za-z+])\+\(?[1-9]\d{0,2}\)?(?:[ \-./]{0,2}\(\d{1,5}\))?"
            rb"(?:[ \-./]{0,2}\d){5,13}" + END
        ),
        _international,
        shapes=(rb"\+\(?0[0 \-.()/]{7}",),
        back=11,
        ahead=26,
    ),
    Detector(
        "phone",
        form(rb"00[1-9](?:[ \-./]{0,2}(?:\(0\))?\d){7,13}"),
        _international,
        shapes=_GROUPS,
        runs=tuple(range(11, 20)),
        back=30,
        ahead=14,
    ),
    Detector(  # North America
        "phone",
        re.compile(
            rb"(?<![0-9A-Za-z_+.\-])(?:1[ \-.])?(?:\([2-9]\d{2}\)[ \-]?|[2-9]\d{2}([ \-.]))"
            rb"[2-9]\d{2}[ \-.]\d{4}(?:(?: ?x ?| ext\.? ?)\d{1,5})?" + END
        ),
        _national(Strength.MEDIUM, 10, 16),
        shapes=(rb"000[ .\-]0000" + RIGHT,),
        back=18,
        ahead=10,
    ),
    Detector(  # with the trunk prefix 0, in groups
        "phone",
        re.compile(
            rb"(?:(?<![0-9A-Za-z_\\.\-/])|(?<=\\[nrt]))"
            rb"(?:0[1-9](?:([ .\-])\d{2})(?:\1\d{2}){3}"
            rb"|\(0\d{1,4}\)(?: ?[\-/.]? ?)\d{2,8}(?:[ \-.]\d{2,5}){0,3}"
            rb"|0\d{1,4}(?: ?[\-/] ?|[ .])\d{2,8}(?:[ \-.]\d{2,5}){0,3})" + END
        ),
        _national(Strength.MEDIUM, 9, 12),
        shapes=_GROUPS,
        back=24,
        ahead=12,
    ),
    Detector(  # Brazil
        "phone",
        re.compile(
            rb"(?<![0-9A-Za-z_+.\-])(?:\(0?[1-9]\d\) ?9?[ .]?\d{4}[\- .]\d{4}"
            rb"|[1-9]\d 9[ .]?\d{4}[\- ]\d{4})" + END
        ),
        _national(Strength.MEDIUM, 10, 12),
        shapes=(rb"000[ .\-]0000" + RIGHT,),
        back=22,
    ),
    Detector(  # Russia, China, India
        "phone",
        form(
            rb"8 ?[(\- ]\d{3}[)\- ]{1,2}\d{3}[ \-]?\d{2}[ \-]?\d{2}|1[3-9]\d([ \-])\d{4}\1\d{4}"
            rb"|[6-9]\d{4}[ \-]\d{5}"
        ),
        _national(Strength.WEAK, 10, 11),
        shapes=_GROUPS,
        back=22,
    ),
    Detector(  # nine digits in groups, as in Spain, Poland, Portugal, Italy: also thousands
        "phone",
        form(
            rb"[3-9]\d{2}([ .\-])\d{3}\1\d{3,4}|[3-9]\d{2}([ .\-])\d{2}(?:\2\d{2}){2}"
            rb"|3\d{2}[ .\-/]?\d{6,7}|\(?\d{2}\)? \d{3}[ \-]\d{2}[ \-]\d{2}"
        ),
        _national(Strength.WEAK, 9, 10),
        shapes=_GROUPS,
        back=20,
    ),
    Detector(
        "phone",
        form(rb"[02-9]\d{8,9}|0\d{10,11}|1[3-9]\d{9}|[1-9]\d9\d{8}"),
        _bare,
        runs=(9, 10, 11, 12),
        back=16,
    ),
    Detector(  # directly behind its label, in whatever form
        "phone",
        form(rb"\(?\d(?:[ \-./()]{0,2}\d){6,14}"),
        _national(Strength.WEAK, 7, 15),
        words=(_LABELLED + rb"[^0-9A-Za-z]{1,5}[0-9(]",),
        back=2,
        ahead=32,
        ignore_case=True,
    ),
)

# IP addresses.

_OCTETS = (b"0", b"00", b"000")

_RELEASE = re.compile(
    rb"(?:(?<![a-z])(?:v|ver|rev|sdk|oid|api)|version|versi\xc3\xb3n|vers\xc3\xa3o|versione|versie|"
    rb"wersj[aie]|release|firmware|build|fassung|ausgabe|phi\xc3\xaan b\xe1\xba\xa3n|"
    rb"chrome|firefox|edge|safari|driver|treiber|since|seit|depuis|desde|dalla|sinds|"
    rb"upgrade to|update to|upgraded to|section|abschnitt|kapitel|chapter|clause|"
    rb"\xe3\x83\x90\xe3\x83\xbc\xe3\x82\xb8\xe3\x83\xa7\xe3\x83\xb3|\xe7\x89\x88\xe6\x9c\xac|"
    rb"\xc2\xa7|[~^<>=]=|\^|~)[^0-9A-Za-z]{0,4}$"
)
_TAG = re.compile(rb"(?:image|[a-z0-9]/[a-z0-9._\-]+|: ?[a-z0-9\-]+):$")
"""An image with a tag follows."""


def _ipv4(text: str, buffer: bytes, start: int, end: int) -> Strength:
    if not checks.ipv4(text):
        return Strength.NONE
    before, after = buffer[max(0, start - 24) : start].lower(), buffer[end : end + 2]
    if before[-1:] in b".-" or (before[-1:] == b"/" and before[-2:-1].isalnum()):
        return Strength.NONE  # 1.2.3.4.5, lib-1.2.3.4, Chrome/1.2.3.4
    if (after[:1] == b"." and after[1:].isalnum()) or (after[:1] == b"-" and after[1:].isalpha()):
        return Strength.NONE
    if after[:1] == b"@" or _TAG.search(before):
        return Strength.NONE
    return Strength.NONE if _RELEASE.search(before) else Strength.STRONG


def _ipv6(text: str, buffer: bytes, start: int, end: int) -> Strength:
    if buffer[start - 1 : start] in b":." or buffer[end : end + 1] == b":":
        return Strength.NONE
    groups = text.split(":")
    if len(groups) >= 6 and all(len(group) == 2 for group in groups):  # noqa: PLR2004  a MAC
        return Strength.NONE
    if not any(c.isdigit() for c in text):
        return Strength.NONE
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return Strength.NONE
    return Strength.STRONG


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "email",
        re.compile(
            rb"(?:(?:(?<![0-9A-Za-z._%+'\-\\])|(?<=\\[nrt])|(?<=\\))"
            + _LOCAL
            + rb"|"
            + _LOCAL_ELSEWHERE
            + rb")@"
            + _DOMAIN
            + rb"(?![A-Za-z0-9])"
        ),
        _email,
        words=(rb"[A-Za-z0-9_%+'\-\x80-\xff]@[A-Za-z0-9\x80-\xff]",),
        back=66,
        ahead=120,
    ),
    *_PHONES,
    Detector(
        "ipv4",
        form(rb"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"),
        _ipv4,
        shapes=tuple(b"0\\.%s\\.%s\\.0" % (two, three) for two in _OCTETS for three in _OCTETS),
        back=14,
    ),
    Detector(
        "ipv6",
        re.compile(
            BEGIN + rb"(?:[0-9a-fA-F]{1,4}|(?=::))(?::{1,2}[0-9a-fA-F]{1,4}){0,7}"
            rb"(?::(?:\d{1,3}\.){3}\d{1,3}|::)?(?![0-9A-Za-z])"
        ),
        _ipv6,
        words=(
            rb"(?:[0-9a-f]{1,4}:){7}[0-9a-f]",
            rb"[0-9a-f]::[0-9a-f/\]]",
            rb"[^0-9A-Za-z:]::[0-9a-f]",
        ),
        back=42,
        ahead=42,
        ignore_case=True,
    ),
)
