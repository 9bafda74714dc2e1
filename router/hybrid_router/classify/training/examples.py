"""Examples of intents, made from phrases: `phrases/LANGUAGE.toml` and a few pieces of material.

The same seed makes the same examples. Phrases, not examples, are divided into those trained on and
those held out: an example held out is of a phrase that training never saw.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from hybrid_router.classify.model import INTENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_PHRASE = 6
PARTS = 4
"""Into which the phrases of every language and intent are divided; one at a time is held out."""

CODE = (
    (
        "```python\ndef total(items):\n    s = 0\n    for i in items:\n        s += i.price\n"
        "    return s\n```"
    ),
    "function add(a, b) {\n  return a + b;\n}\nconsole.log(add(1));",
    (
        "public static void main(String[] args) {\n  int[] a = new int[3];\n"
        "  System.out.println(a[3]);\n}"
    ),
    "```go\nfunc main() {\n\tfor i := 0; i < 10; i++ {\n\t\tfmt.Println(i)\n\t}\n}\n```",
    (
        "import os\nclass Store:\n    def __init__(self, path):\n        self.path = path\n"
        "    def load(self):\n        return open(self.path).read()"
    ),
    '#include <stdio.h>\nint main() { int *p = 0; printf("%d", *p); return 0; }',
)
SCHEMAS = (
    "CREATE TABLE orders (id INT, customer_id INT, amount DECIMAL, created_at DATE);",
    "Table users(id, email, created_at). Table logins(user_id, at).",
    "Schema: employees(id, name, department, salary, hired), departments(id, name)",
    "tables: products(id, title, price), sales(product_id, quantity, country, day)",
    "",
)
PREFIXES = ("Please ", "Now ", "Can you ", "Could you ", "Hi! ", "I want you to ", "Then ")
OBJECTS = (
    '{"name": "", "date": "", "amount": 0}', '{"a": 1, "b": [2, 3,]}',
    '{"type": "object", "properties": {"city": {"type": "string"}}}',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and what it is."""

    text: str
    intent: str
    language: str
    part: int | None
    """Of its phrase; None for words that name a task, which are never held out."""


def languages() -> list[str]:
    """Return the languages that there are phrases in, by their two letters."""
    folder = resources.files(__package__).joinpath("phrases")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def generate(seed: int = 0) -> Iterator[Example]:
    """Yield the examples of every language and intent."""
    chance = random.Random(seed)  # noqa: S311  examples, not secrets
    folder = resources.files(__package__).joinpath("phrases")
    english = tomllib.loads(folder.joinpath("en.toml").read_text(encoding="utf-8"))
    for language in languages():
        said = tomllib.loads(folder.joinpath(f"{language}.toml").read_text(encoding="utf-8"))
        for intent in INTENTS:
            for number, phrase in enumerate(said["intents"][intent]):
                for _ in range(PER_PHRASE):
                    text = _filled(phrase, english if language == "en" else said, english, chance)
                    yield Example(text, intent, language, number % PARTS)
            yield from _named(language, intent, said, chance)


def _named(
    language: str, intent: str, said: dict[str, Any], chance: random.Random
) -> Iterator[Example]:
    """Yield examples of two words each that name the task, with and without material."""
    named = _LEXICON[intent].get(language, "").split()
    for at in range(len(named)):
        text = " ".join(named[at : at + 2])
        if intent in _WITH_MATERIAL and chance.random() < _MATERIAL:
            text = f"{text}: {chance.choice(said['texts'])}"
        elif intent in _WITH_CODE and chance.random() < _MATERIAL:
            text = f"{text}: {chance.choice(CODE)}"
        yield Example(text, intent, language, None)


_LEXICON: dict[str, dict[str, str]] = tomllib.loads(
    resources.files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8")
)
_WITH_MATERIAL = frozenset(("json-extraction", "intent-routing", "summarising", "translation"))
_WITH_CODE = frozenset(("code-writing", "debugging"))
_MATERIAL = 0.5


def _filled(
    phrase: str, said: dict[str, Any], english: dict[str, Any], chance: random.Random
) -> str:
    """Fill the slots; now and then the material comes first, or in English, or is quoted."""
    texts = english["texts"] if chance.random() < _FOREIGN_MATERIAL else said["texts"]
    material = {
        "text": " ".join(chance.sample(texts, chance.randint(1, 3))),
        "topic": chance.choice(said["topics"]),
        "code": chance.choice(CODE),
        "schema": chance.choice(SCHEMAS),
        "json": chance.choice(OBJECTS),
    }
    if english is said and chance.random() < _PREFIXED:
        phrase = f"{chance.choice(PREFIXES)}{phrase[:1].lower()}{phrase[1:]}"
    style = chance.random()
    if style < _LAST:
        for slot in ("text", "code"):
            if f"{{{slot}}}" in phrase:
                return f"{material[slot]}\n\n{_fill(phrase.replace(f'{{{slot}}}', ''), material)}"
    if style < _QUOTED:
        material["text"] = f'"{material["text"]}"'
    elif style < _BELOW:
        material["text"] = f"\n\n{material['text']}"
        material["code"] = f"\n\n{material['code']}"
    return _fill(phrase, material).strip()


_FOREIGN_MATERIAL, _PREFIXED = 0.25, 0.3
_LAST, _QUOTED, _BELOW = 0.15, 0.4, 0.7


def _fill(phrase: str, material: dict[str, str]) -> str:
    for slot, value in material.items():
        phrase = phrase.replace(f"{{{slot}}}", value)
    return phrase
