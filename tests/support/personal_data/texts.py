"""Labelled texts, drawn from a seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.support.personal_data import sentences, values
from tests.support.personal_data.negatives import NEGATIVES
from tests.support.personal_data.values import VALUES

LANGUAGES = tuple(sentences.SENTENCES)
SEEN = ("ticket", "log", "code", "json")
HELD_OUT = ("form", "chat", "config")

_hole = re.compile(r"\{\{|\}\}|\{(!?)([a-z0-9-]+)\}")


@dataclass(frozen=True)
class Labelled:
    """A text and what is in it; offsets in characters."""

    text: str
    language: str
    family: str
    spans: tuple[tuple[str, int, int], ...]
    negatives: tuple[tuple[str, int, int], ...]


class _Writer:
    """Fills templates and remembers where the values stand."""

    def __init__(self, r: Random, language: str) -> None:
        self.r = r
        self.language = language
        self.text = ""
        self.spans: list[tuple[str, int, int]] = []
        self.negatives: list[tuple[str, int, int]] = []

    def write(self, template: str) -> None:
        at = 0
        for match in _hole.finditer(template):
            self.text += template[at : match.start()]
            at = match.end()
            if match[2] is None:
                self.text += match[0][0]
                continue
            start = len(self.text)
            self.text += self._value(match[2], negative=bool(match[1]))
            into = self.negatives if match[1] else self.spans
            into.append((match[2], start, len(self.text)))
        self.text += template[at:]

    def _value(self, kind: str, *, negative: bool) -> str:
        if negative:
            return NEGATIVES[kind](self.r)
        if kind == "phone":
            return values.phone(self.r, self.language)
        return VALUES[kind](self.r)


def _ticket(w: _Writer) -> None:
    own = sentences.SENTENCES[w.language]
    kinds = w.r.sample(("email", "phone", "payment-card", "iban", "ids"), w.r.randint(1, 3))
    lines = [w.r.choice(own[kind]) for kind in kinds] + w.r.sample(own["none"], w.r.randint(1, 3))
    w.r.shuffle(lines)
    w.write(w.r.choice(own["open"]) + "\n" + " ".join(lines))


def _lines(templates: tuple[str, ...], low: int, high: int) -> Callable[[_Writer], None]:
    def make(w: _Writer) -> None:
        w.write("\n".join(w.r.choice(templates) for _ in range(w.r.randint(low, high))))

    return make


def _form(w: _Writer) -> None:
    fields = list(sentences.FIELDS[w.language].items())
    for kind, name in w.r.sample(fields, w.r.randint(3, len(fields))):
        w.write(f"{name}: {{{kind}}}\n")


def _chat(w: _Writer) -> None:
    own = sentences.SENTENCES[w.language]
    for index in range(w.r.randint(2, 5)):
        kind = w.r.choice(("email", "phone", "payment-card", "iban", "ids", "none", "none"))
        w.write(f"{'user' if index % 2 == 0 else 'agent'}: {w.r.choice(own[kind])}\n")


_FAMILIES: dict[str, Callable[[_Writer], None]] = {
    "ticket": _ticket,
    "log": _lines(sentences.LOGS, 2, 6),
    "code": _lines(sentences.CODE, 1, 4),
    "json": _lines(sentences.JSON, 1, 3),
    "form": _form,
    "chat": _chat,
    "config": _lines(sentences.CONFIG, 1, 2),
}


def labelled(seed: int, count: int, families: tuple[str, ...]) -> Iterator[Labelled]:
    """Yield `count` texts, languages and families in turn."""
    r = Random(seed)
    for index in range(count):
        language = LANGUAGES[index % len(LANGUAGES)]
        family = families[index // len(LANGUAGES) % len(families)]
        writer = _Writer(r, language)
        _FAMILIES[family](writer)
        yield Labelled(writer.text, language, family, tuple(writer.spans), tuple(writer.negatives))
