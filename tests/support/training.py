"""A small training, the same in every process: `python -m tests.support.training` prints its hash.

Made-up questions, and a few of the project's own examples of intents, so that it takes a second.
"""

from __future__ import annotations

import hashlib
import random
import sys

import pytest

from hybrid_router.classify.training import examples, fit, labels

WORDS = (
    "what",
    "which",
    "the",
    "is",
    "energy",
    "cell",
    "12",
    "3.5",
    "law",
    "x",
    "=",
    "NATO",
    "How",
)
EXAMPLES_OF = 8
"""Of so many English examples, one is learnt from."""


def rows() -> list[labels.Label]:
    """Return 240 labels of six subjects, half of them with options to choose from."""
    chance = random.Random(3)  # noqa: S311  questions, not secrets
    found = []
    for number in range(240):
        text = " ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 40))) + "?"
        if number % 2:
            text += "\nA. yes\nB. no\nC. 12\nD. none"
        small, large = chance.random() < 0.6, chance.random() < 0.8
        found.append(labels.Label(f"s{number % 6}", text, small=small, large=large))
    return found


def trained(patch: pytest.MonkeyPatch) -> bytes:
    """Return the model file of these labels and a few examples."""
    few = [e for e in examples.generate() if e.language == "en"][::EXAMPLES_OF]
    patch.setattr(examples, "generate", lambda _seed=0: iter(few))
    return fit.train(rows(), count=3)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        sys.stdout.write(hashlib.sha256(trained(patching)).hexdigest())
