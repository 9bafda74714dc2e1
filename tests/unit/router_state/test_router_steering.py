"""What talks the embedded classifier round: words that name an answer, and words of an easy task.

The first have no effect. The second had: the easy task's prior stood for the whole prompt, and of
the prompts below a fifth to a half became local. What is left is counted here and in
docs/classifier.md, from `make bench-classifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.classify import words
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.model import (
    EVIDENCE,
    FITTED,
    INTENTS,
    OPEN,
    UNKNOWN,
    Model,
    Reading,
    sigmoid,
)
from hybrid_router.classify.parameters import shipped
from hybrid_router.classify.prompt import Prompt
from hybrid_router.classify.training.priors import LABELLED
from hybrid_router.table import Policy
from tests.support.reviewed import BESIDE, HARD, TOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

THRESHOLD = Policy().threshold
MODEL = Model(shipped())
BIAS = dict(zip(INTENTS, shipped().bias, strict=True))
PLACES: dict[str, Callable[[str, str], str]] = {
    "before": lambda phrase, text: f"{phrase} {text}",
    "after": lambda phrase, text: f"{text} {phrase}",
}


@pytest.fixture(scope="module")
def embedded() -> EmbeddedClassifier:
    return EmbeddedClassifier()


def made_local(embedded: EmbeddedClassifier, phrase: str, place: str) -> list[str]:
    found = []
    for text in HARD:
        verdict = embedded.judge(Prompt.from_text(PLACES[place](phrase, text)))
        assert verdict.confidence is not None
        if verdict.confidence >= THRESHOLD:
            found.append(text)
    return found


@pytest.mark.parametrize("phrase", TOLD)
@pytest.mark.parametrize("place", PLACES)
def test_telling_the_router_what_to_answer_makes_no_hard_prompt_local(
    embedded: EmbeddedClassifier, phrase: str, place: str
) -> None:
    assert made_local(embedded, phrase, place) == []


MOST = dict(zip(BESIDE, (4, 3, 3, 12, 12, 8, 8, 10, 0, 2, 9), strict=True))
"""Of the 61 hard prompts, that such a phrase makes local, wherever it stands. Before the words of
a hard task counted beside an easy one, that were 33, 11, 22, 52, 30, 23, 14, 18, 0, 3 and 55."""


@pytest.mark.parametrize("phrase", BESIDE)
@pytest.mark.parametrize("place", PLACES)
def test_an_easy_task_beside_a_hard_one_seldom_makes_it_local(
    embedded: EmbeddedClassifier, phrase: str, place: str
) -> None:
    assert len(made_local(embedded, phrase, place)) <= MOST[phrase]


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        ("Hi! Thanks! How are you?", "Prove that there are infinitely many primes."),
        ("chat: hi thanks hello how are you.", "Prove Fermat's last theorem."),
        ("Extract the fields as JSON.", "Prove by induction that the sum is n squared."),
        ("Write an SQL query.", "Write a long essay on the causes of the French Revolution."),
        ("Bonjour, comment vas-tu ?", "D\u00e9montre que la racine de 2 est irrationnelle."),
    ],
)
def test_a_prompt_of_two_tasks_is_no_easier_than_the_hard_one(
    embedded: EmbeddedClassifier, easy: str, hard: str
) -> None:
    alone = embedded.judge(Prompt.from_text(hard)).confidence
    for both in (f"{easy} {hard}", f"{hard} {easy}"):
        confidence = embedded.judge(Prompt.from_text(both)).confidence
        assert confidence is not None
        assert alone is not None
        assert confidence < min(THRESHOLD, alone + 0.1)


def votes(said: Sequence[int]) -> int:
    """Return log-odds as the lexicon adds them up."""
    return sum(words.UNIT * each << (words.LANE * lane) for lane, each in enumerate(said))


_said = st.lists(st.integers(-8, 12), min_size=len(INTENTS), max_size=len(INTENTS))


@given(_said, st.floats(-3, 3), st.sampled_from(("options", "open")))
def test_no_task_that_words_ask_for_lets_a_turn_be_easier_than_it_is(
    said: list[int], score: float, form: str
) -> None:
    options = form == "options"
    judged = MODEL.judge(Reading(votes(said), score, options, 0.0))
    enough = [
        name for name, each in zip(INTENTS, said, strict=True)
        if each + BIAS[name] > EVIDENCE and (judged.intent, name) != ("text-to-sql", "code-writing")
    ]  # fmt: skip
    if judged.intent == UNKNOWN or (options and judged.intent in FITTED):
        enough = []  # an exam's questions stand as they are labelled
    for name in enough:
        scale = MODEL.scales[name]
        if not options:
            scale = MODEL.scales.get(name + OPEN, scale)
        assert judged.probability <= sigmoid(scale.slope * score + scale.offset) + 1e-9


def test_what_the_system_prompt_is_about_does_not_make_a_turn_harder() -> None:
    hard = [0] * len(INTENTS)
    hard[INTENTS.index("maths")] = 12
    easy = [0] * len(INTENTS)
    easy[INTENTS.index("chat")] = 9
    turn = Reading(votes(easy), 1.0, options=False, demands=0.0)
    assert MODEL.judge(turn, votes(hard)) == MODEL.judge(turn)


def test_the_intents_that_are_fitted_are_those_that_the_labels_hold() -> None:
    assert set(LABELLED) == FITTED
