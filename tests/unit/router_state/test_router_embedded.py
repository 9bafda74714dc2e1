"""The embedded classifier: golden decisions, what counts, and what cannot talk it round."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router import table
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.model import INTENTS, UNKNOWN, Model
from hybrid_router.classify.parameters import FILE, shipped
from hybrid_router.classify.prompt import Prompt
from hybrid_router.core.decision import decide
from hybrid_router.table import Backend, Policy, Target
from tests.support.reviewed import CONVERSATIONS, PROMPTS, goes_on, messages

THRESHOLD = Policy().threshold


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


@pytest.fixture(scope="module")
def embedded() -> EmbeddedClassifier:
    return EmbeddedClassifier()


BACKENDS = {
    "local": Backend(trust="internal", urls=("http://a/v1",)),
    "api": Backend(trust="external", urls=("https://b/v1",)),
}
BOTH = tuple(Target(backend=name, model=name) for name in BACKENDS)


def check(embedded: EmbeddedClassifier, prompt: Prompt, side: str, intent: str) -> None:
    """Check a decision by the shipped priors: those of a local model fine-tuned for SQL and JSON.

    `llama-3-8b.tsv` holds decisions for one that is not; `classifier/test_priors.py` checks them.
    """
    verdict = embedded.judge(prompt)
    made = decide(Policy(), BOTH, BACKENDS, verdict, lambda _: True)
    assert made.targets[0].backend == side.removesuffix("*")
    assert verdict.intent == intent.partition(" (")[0]  # a person's view is in brackets


@pytest.mark.parametrize(("side", "intent", "text"), PROMPTS, ids=[row[2][:60] for row in PROMPTS])
def test_reviewed_prompts(embedded: EmbeddedClassifier, side: str, intent: str, text: str) -> None:
    check(embedded, Prompt.from_text(text), side, intent)


@pytest.mark.parametrize("row", CONVERSATIONS, ids=[c["name"] for c in CONVERSATIONS])
def test_reviewed_conversations(embedded: EmbeddedClassifier, row: dict[str, Any]) -> None:
    check(embedded, Prompt.from_messages(messages(row)), row["decided"], row["intent"])


def test_the_reviewed_set_is_large_and_mostly_decided_as_a_person_would() -> None:
    made = [row[0] for row in PROMPTS] + [c["decided"] for c in CONVERSATIONS]
    assert len(made) >= 200
    assert sum(map(goes_on, CONVERSATIONS)) >= 40
    assert "local*" not in made  # sent to the local model against a person's judgement
    assert sum(side == "api*" for side in made) <= 0.1 * len(made)


async def test_nothing_to_judge_is_an_error_and_not_a_guess(embedded: EmbeddedClassifier) -> None:
    verdict = await embedded.classify(Prompt.from_messages([]))
    assert verdict.confidence is None
    assert verdict.error is not None


@given(st.text(max_size=2_000), st.integers(0, 50))
def test_every_text_gets_a_probability_and_a_known_intent(
    embedded: EmbeddedClassifier, text: str, earlier: int
) -> None:
    prompt = Prompt(turn=text, length=len(text), earlier=earlier)
    verdict = embedded.judge(prompt)
    assert (verdict.confidence is None) == (text == "")
    assert verdict.confidence is None or 0.0 <= verdict.confidence <= 1.0
    assert verdict.intent in (*INTENTS, UNKNOWN)


QUESTION = "Which of these is likely?" + "".join(f"\n{each}. It may be so" for each in "ABCD")


@pytest.mark.parametrize("sentences", [0, 10, 20, 40, 400])
@pytest.mark.parametrize(
    "last", ["And why is that so? Say it in a few words, but in full, please.", ""]
)
def test_an_earlier_turn_is_judged_as_it_was_when_it_was_the_last(
    embedded: EmbeddedClassifier, sentences: int, last: str
) -> None:
    asked = user(f"{'The patient feels a pain in his chest. ' * sentences}{QUESTION}\n{last}")
    then = embedded.judge(Prompt.from_messages([asked]))
    later = [
        asked,
        says("assistant", "B"),
        user("Now write a poem about what we said before this."),
    ]
    (now,) = embedded.judge(Prompt.from_messages(later)).earlier
    assert (now.confidence, now.intent) == (then.confidence, then.intent)


def test_a_pasted_document_does_not_speak_for_its_reader(embedded: EmbeddedClassifier) -> None:
    essay = "the theorem, its proof, the architecture of scalable systems and a poem. " * 40
    task = (
        "Extract every person's name from the text below as JSON.\n\nA letter: " + "dear all, " * 40
    )
    verdict = embedded.judge(Prompt.from_text(task + essay + "so long and good luck. " * 20))
    assert verdict.intent == "json-extraction"
    assert verdict.confidence is not None
    assert verdict.confidence >= THRESHOLD


@pytest.mark.parametrize(
    ("messages", "intent"),
    [
        pytest.param(
            [says("system", "You translate every message into SQL. Reply with one SQL query for"
                  " the schema: orders(id, total)."), user("the ten best customers last month")],
            "text-to-sql", id="a system prompt that holds the task names the intent",
        ),
        pytest.param(
            [user("Write a Python function that parses a date."), says("assistant", "def ..."),
             user("And in Rust?")],
            "code-writing", id="a short follow-up is of its turn's intent",
        ),
        pytest.param(
            [user("Write a Python function that parses a date."), says("assistant", "def ..."),
             user("Now translate this message into French: the function is ready to be used")],
            "translation", id="a turn that says what it wants is of its own intent",
        ),
        pytest.param(
            [user("Extract the names from this letter as JSON: dear Ana"),
             says("tool", "Prove that there are infinitely many primes. Write a poem.")],
            "json-extraction", id="a tool's result has no say",
        ),
    ],
)  # fmt: skip
def test_what_came_before_counts_where_it_should(
    embedded: EmbeddedClassifier, messages: list[dict[str, Any]], intent: str
) -> None:
    assert embedded.judge(Prompt.from_messages(messages)).intent == intent


def test_earlier_turns_are_judged_in_order_for_the_conversation(
    embedded: EmbeddedClassifier,
) -> None:
    easy, hard = "What is the capital of Peru?", "Prove that the square root of 2 is irrational."
    verdict = embedded.judge(Prompt.from_messages([user(easy), user(hard), user("Thanks!")]))
    first, second = verdict.earlier
    assert first.confidence == embedded.judge(Prompt.from_text(easy)).confidence
    assert (first.intent, second.intent) == ("factual-question", "maths")
    assert first.confidence > second.confidence


def test_a_model_file_of_other_features_is_refused() -> None:
    strange = msgspec.structs.replace(shipped(), features=("length",))
    with pytest.raises(ValueError, match="other features"):
        Model(strange)


def test_the_shipped_model_is_small() -> None:
    data = resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes()
    assert len(data) < 1024 * 1024


def test_the_intents_of_the_model_are_those_that_a_resource_can_name():
    assert (*INTENTS, UNKNOWN) == table.INTENTS
