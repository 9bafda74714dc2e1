"""Replaces what must not leave, and knows what it stands for.

A body is cut at the JSON strings that change and is otherwise sent byte by byte as it came: no
number, escape or unknown field changes. A placeholder such as `[EMAIL_1]` stands for one value
throughout a request, and occurs nowhere in it already.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hybrid_router.datapolicy.findings import Finding

_string = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9-]{0,63}_[0-9]{1,6}\]")
_JSON = ("json_object", "json_schema")
LONGEST = 74
"""Characters of a placeholder, at most."""


class Vault:
    """The values of one request, by their placeholders.

    Args:
        taken: placeholders that the request itself contains.
        in_json: the answer's text is to be JSON, in which values are written with its escapes.
    """

    __slots__ = ("_by_value", "_counts", "_taken", "in_json", "values")

    def __init__(self, taken: Iterable[str] = (), *, in_json: bool = False) -> None:
        self.in_json = in_json
        self._taken = frozenset(taken)
        self._by_value: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}

    def placeholder(self, type_: str, value: str) -> str:
        """Return what stands for `value`; the same for the same value."""
        known = self._by_value.get((type_, value))
        if known is not None:
            return known
        name = re.sub(r"[^A-Z0-9]", "-", type_.upper())[:60]
        if not name[:1].isalpha():
            name = f"X{name}"
        while True:
            self._counts[name] = self._counts.get(name, 0) + 1
            made = f"[{name}_{self._counts[name]}]"
            if made not in self._taken:
                break
        self._by_value[type_, value] = made
        self.values[made] = value
        return made

    def restore(self, text: str, escape: Callable[[str], str] | None = None) -> str:
        """Return `text` with the values in the places of their placeholders."""

        def value(match: re.Match[str]) -> str:
            found = self.values.get(match[0])
            if found is None:
                return match[0]
            return escape(found) if escape is not None else found

        return PLACEHOLDER.sub(value, text)


def asks_for_json(body: object) -> bool:
    """Return whether the answer to a decoded body is to be JSON, on any surface."""
    if not isinstance(body, dict):
        return False
    stated = [body.get("response_format"), body.get("output_format")]
    for name in ("text", "output_config"):  # of responses, and of messages
        part = body.get(name)
        stated.append(part.get("format") if isinstance(part, dict) else None)
    return any(isinstance(each, dict) and each.get("type") in _JSON for each in stated)


def replaced(text: str, findings: Iterable[Finding], vault: Vault) -> str:
    """Return `text` with placeholders in the places of the findings; overlaps become one."""
    places: list[tuple[str, int, int]] = []
    for each in sorted(findings, key=lambda f: (f.start, -f.end)):
        if places and each.start < places[-1][2]:
            type_, start, end = places.pop()
            places.append((type_, start, max(end, each.end)))
        else:
            places.append((each.type, each.start, each.end))
    parts: list[str] = []
    at = 0
    for type_, start, end in places:
        parts += text[at:start], vault.placeholder(type_, text[start:end])
        at = end
    return "".join([*parts, text[at:]])


def rebuilt(body: bytes, changed: dict[int, str]) -> bytes:
    """Return a JSON body with some of its strings replaced, everything else byte by byte.

    Args:
        body: valid JSON.
        changed: new strings by their number in the order of the body, names included.
    """
    parts: list[bytes] = []
    at = 0
    for index, match in enumerate(_string.finditer(body)):
        new = changed.get(index)
        if new is None:
            continue
        parts.append(body[at : match.start()])
        parts.append(quoted(new))
        at = match.end()
    parts.append(body[at:])
    return b"".join(parts)


def quoted(text: str) -> bytes:
    """Return a JSON string; what UTF-8 cannot write stays an escape."""
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()
