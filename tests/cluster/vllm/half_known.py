"""Questions of which a tiny model knows about a half, and what it is taught.

Three kinds, all made up: facts that are taught often, seldom or never; sums of which half are
taught; and words to be written in another alphabet, of which the longer ones are never taught. A
prompt shows its kind and its length. It does not show which fact was taught, or which sum.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SEED = 7
FACTS, SUMS, WORDS = 360, 240, 200
"""Questions of each kind."""
LEVELS = 6
"""How often facts are taught: each level half as often as the one before, the last one never."""
TAUGHT_LENGTHS = (2, 2, 3, 3, 4)
LENGTHS = (2, 3, 4, 5, 6)
ADDENDS = 30
RELATIONS = ("capital", "river", "bread", "king")
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
LETTERS, OTHERS = "abcdefghijkl", "nopqrstuvwxy"


@dataclass(frozen=True)
class Question:
    """A prompt and its one right answer."""

    kind: str
    size: int
    """What else a prompt shows: the letters of the word, the digits of the sum."""
    prompt: str
    answer: str
    weight: float = 0.0
    """How often it is taught, against others of its kind."""


def _word(draw: random.Random, syllables: int) -> str:
    return "".join(draw.choice(CONSONANTS) + draw.choice(VOWELS) for _ in range(syllables))


def facts() -> list[Question]:
    """Return all facts, each with its weight."""
    draw = random.Random(SEED)  # noqa: S311  no secret
    found = []
    for index, name in enumerate(names()):
        level = index % LEVELS
        relation = RELATIONS[index // LEVELS % len(RELATIONS)]
        weight = 0.0 if level == LEVELS - 1 else 0.5**level
        prompt = f"What is the {relation} of {name}?"
        found.append(Question("fact", 0, prompt, _word(draw, 3), weight))
    return found


def names() -> list[str]:
    """Return what the facts are about; each is a token of its own."""
    draw = random.Random(SEED + 2)  # noqa: S311  no secret
    found: dict[str, None] = {}
    while len(found) < FACTS:
        found[_word(draw, 3).title()] = None
    return list(found)


def sum_of(a: int, b: int) -> Question:
    """Return a sum; its weight says whether it is taught."""
    digits = len(str(a)) + len(str(b))
    taught = (a * 31 + b * 17) % 10 < 5
    return Question("sum", digits, f"Add {a} and {b}.", str(a + b), float(taught))


def rewritten(draw: random.Random, length: int) -> Question:
    """Return a word to be written in the other alphabet."""
    letters = [draw.choice(LETTERS) for _ in range(length)]
    other = [OTHERS[LETTERS.index(letter)] for letter in letters]
    return Question("word", length, f"Rewrite {' '.join(letters)}.", " ".join(other), 1.0)


def lesson(draw: random.Random, known: list[Question]) -> Question:
    """Return something to be taught; `known` are the facts."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choices(known, [fact.weight for fact in known])[0]
    if kind < 0.7:
        while True:
            found = sum_of(draw.randrange(ADDENDS), draw.randrange(ADDENDS))
            if found.weight:
                return found
    return rewritten(draw, draw.choice(TAUGHT_LENGTHS))


def questions() -> list[Question]:
    """Return what is asked, in a drawn order that is always the same."""
    draw = random.Random(SEED + 1)  # noqa: S311  no secret
    asked = facts()
    asked += [sum_of(draw.randrange(ADDENDS), draw.randrange(ADDENDS)) for _ in range(SUMS)]
    asked += [rewritten(draw, draw.choice(LENGTHS)) for _ in range(WORDS)]
    draw.shuffle(asked)
    return asked
