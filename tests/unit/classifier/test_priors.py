"""What is known of a local model before outcomes: whose figures, and what they make of a prompt."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hybrid_operator.core import table as rendered
from hybrid_operator.core.engine import catalog
from hybrid_operator.core.objects.context import Context
from hybrid_router.calibrating import Calibrating
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.identity import identity, shipped_digest
from hybrid_router.classify.model import INTENTS, Reading
from hybrid_router.classify.parameters import shipped
from hybrid_router.classify.prompt import Prompt
from hybrid_router.classify.training import examples
from hybrid_router.classify.words import LANE
from hybrid_router.core.decision import Verdict
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Calibration, HeldOut, Map, RouteTable, encode
from hybrid_router.telemetry.metrics import Metrics
from tests.support.resources import SETTINGS, owner, spec

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parents[2] / "golden" / "router"
ROWS = [
    line.split("\t")
    for line in (GOLDEN / "llama-3-8b.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
CONTEXT = Context(owner(generation=7), SETTINGS)
MODEL = EmbeddedClassifier().model
PLAIN = {"text-to-sql": 0.62, "json-extraction": 0.54, "intent-routing": 0.71, "debugging": 0.48}
TUNED = {"text-to-sql": 0.89, "json-extraction": 0.97, "intent-routing": 0.94, "debugging": 0.68}
CODER = {"text-to-sql": 0.82, "json-extraction": 0.88, "intent-routing": 0.8, "debugging": 0.79}
ANY = {"text-to-sql": 0.763, "json-extraction": 0.77, "intent-routing": 0.797, "debugging": 0.677}
SOURCE = "source: {huggingFace: {repo: %s}}"
ADAPTER = "loras: [{name: sql, source: {pvc: {claim: adapters}}}]"
API = "providers: [{name: openai, models: [{name: gpt-4o}]}]"


def table(models: str, routing: str = "") -> RouteTable:
    document = rendered.render(CONTEXT, spec(f"{models}\n{API}\n{routing}"))
    assert document.problems == ()
    return document.table


def one(fields: str) -> str:
    return f"models: [{{{fields}, accelerator: {{type: l4}}}}]"


@pytest.fixture(scope="module")
def embedded() -> EmbeddedClassifier:
    return EmbeddedClassifier(MODEL)


@pytest.mark.parametrize(("before", "now", "intent", "text"), ROWS, ids=[r[3][:50] for r in ROWS])
def test_a_model_as_it_is_published_is_not_presumed_to_do_what_a_fine_tuned_one_does(
    embedded: EmbeddedClassifier, before: str, now: str, intent: str, text: str
) -> None:
    prompt = Prompt.from_text(text)
    as_shipped, as_known = embedded.judge(prompt), embedded.judge(prompt, PLAIN)
    assert (f"{as_shipped.confidence:.2f}", f"{as_known.confidence:.2f}") == (before, now)
    assert as_shipped.intent == as_known.intent == intent


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param("name: llama-3-8b", PLAIN, id="the catalogue's, by its name"),
        pytest.param("name: chat, catalog: llama-3-8b", PLAIN, id="the catalogue's, renamed"),
        pytest.param(
            f"name: chat, catalog: llama-3-8b, {SOURCE % 'meta-llama/Meta-Llama-3-8B-Instruct'}",
            PLAIN, id="renamed, from the catalogue's repository",
        ),
        pytest.param(
            "name: llama-3-8b, source: {pvc: {claim: weights}}",
            PLAIN, id="a copy on a volume under the catalogue's name",
        ),
        pytest.param(
            f"name: support, catalog: llama-3-8b, {SOURCE % 'me/support'}",
            TUNED, id="built on the catalogue's, weights of its own",
        ),
        pytest.param(
            "name: support, catalog: llama-3-8b, source: {pvc: {claim: weights}}",
            TUNED, id="built on the catalogue's, on a volume",
        ),
        pytest.param("name: qwen2-5-coder-7b", CODER, id="another one that the task table knows"),
        pytest.param("name: mistral-7b", ANY, id="one that it does not know"),
        pytest.param(
            f"name: mine, {SOURCE % 'me/mine'}, "
            "architecture: {layers: 2, kvHeads: 2, headDimension: 64, parameters: 1000000}",
            ANY, id="one that nobody knows",
        ),
        pytest.param(
            f"name: mine, catalog: mistral-7b, {SOURCE % 'me/mine'}",
            TUNED, id="built on one that the task table does not know",
        ),
    ],
)  # fmt: skip
def test_the_figures_are_those_of(model: str, expected: dict[str, float]) -> None:
    assert table(one(model)).models["auto"].priors == expected


def test_the_first_local_model_of_an_alias_counts_and_an_adapter_is_fine_tuned() -> None:
    models = one(f"name: llama-3-8b, {ADAPTER}")
    api = "api: [{provider: openai, model: gpt-4o}]"
    found = table(
        models,
        f"routing: {{aliases: [{{name: base, local: [llama-3-8b, sql], {api}}}, "
        f"{{name: tuned, local: [sql, llama-3-8b], {api}}}, {{name: away, {api}}}]}}",
    ).models
    assert (found["base"].priors, found["tuned"].priors) == (PLAIN, TUNED)
    assert found["away"].priors == found["llama-3-8b"].priors == {}


@pytest.mark.parametrize("classifier", ["slm", "cascade", "none"])
def test_other_classifiers_ask_the_model_itself(classifier: str) -> None:
    found = table(one("name: llama-3-8b"), f"routing: {{classifier: {{type: {classifier}}}}}")
    assert found.models["auto"].priors == {}


def test_every_task_is_of_an_intent_of_its_own_that_no_labels_were_fitted_to() -> None:
    named = [task.intent for task in catalog.tasks()]
    assert sorted(set(named)) == sorted(named)
    assert set(named) <= set(INTENTS) & set(shipped().priors)
    assert all(0 < score.percent < 100 for task in catalog.tasks() for score in task.scores)


def test_what_is_shipped_is_what_the_task_table_says_of_a_fine_tuned_model() -> None:
    assert {intent: shipped().priors[intent] for intent in TUNED} == TUNED


MEAN = {
    intent: mean(
        MODEL.read(each.text).score
        for each in examples.generate()
        if (each.language, each.intent) == ("en", intent)
    )
    for intent in PLAIN
}
"""Score of an average example: where the scaling of an intent without labels was put."""
_probabilities = st.floats(0.01, 0.99)


def judged(intent: str, score: float, priors: Mapping[str, float] | None = None) -> float:
    """Return P for a reading of an intent beyond doubt."""
    reading = Reading(votes=100_000 << (LANE * INTENTS.index(intent)), score=score, options=False,
                      demands=0.0)  # fmt: skip
    found = MODEL.judge(reading, priors=priors)
    assert found.intent == intent
    return found.probability


@given(st.sampled_from(sorted(PLAIN)), _probabilities)
def test_an_average_task_is_done_as_often_as_the_prior_says(intent: str, prior: float) -> None:
    assert judged(intent, MEAN[intent], {intent: prior}) == pytest.approx(prior, abs=0.001)


@given(st.sampled_from(INTENTS), st.floats(-9, 9), _probabilities, _probabilities)
def test_who_is_known_to_do_more_is_never_trusted_less(
    intent: str, score: float, one_: float, other: float
) -> None:
    low, high = sorted((one_, other))
    assert judged(intent, score, {intent: low}) <= judged(intent, score, {intent: high})


@given(st.sampled_from(INTENTS), st.floats(-9, 9), st.floats(-9, 9), _probabilities)
def test_a_prior_changes_no_order_among_prompts_of_its_intent(
    intent: str, one_: float, other: float, prior: float
) -> None:
    low, high = sorted((judged(intent, s), s) for s in (one_, other))
    assert judged(intent, low[1], {intent: prior}) <= judged(intent, high[1], {intent: prior})


@given(st.sampled_from(INTENTS), st.floats(-9, 9), _probabilities)
def test_intents_that_nothing_is_known_of_stay_as_they_are(
    intent: str, score: float, prior: float
) -> None:
    others = {name: prior for name in INTENTS if name != intent}
    untouched = judged(intent, score)
    assert judged(intent, score, others) == judged(intent, score, {}) == untouched
    assert judged(intent, score, shipped().priors) == untouched
    if intent not in shipped().priors:  # fitted to labels
        assert judged(intent, score, {intent: prior}) == untouched


def test_a_state_belongs_to_the_priors_that_its_scores_were_made_with() -> None:
    plain, renamed = table(one("name: llama-3-8b")), table(one("name: chat, catalog: llama-3-8b"))
    coder = table(one("name: qwen2-5-coder-7b"))
    assert identity(plain) == identity(renamed) != identity(coder)
    bare = {name: replace(model, priors={}) for name, model in plain.models.items()}
    assert identity(replace(plain, models=bare)) == ("embedded", shipped_digest())
    assert identity(plain)[1] != shipped_digest()


def test_a_state_is_left_alone_once_another_local_model_is_presumed_to_do_other_things() -> None:
    plain, coder = table(one("name: llama-3-8b")), table(one("name: qwen2-5-coder-7b"))
    held = HeldOut(
        outcomes=99, log_loss_before=0.6, log_loss_after=0.5, brier_before=0.2, brier_after=0.1
    )
    state = Calibration(
        classifier="embedded", model=identity(plain)[1], maps={"*": Map(offset=-3.0)}, held_out=held
    )
    metrics = Metrics()
    registry = Registry(observer=metrics)
    calibrating = Calibrating(registry, metrics)
    said = Verdict(0.9, "chat", "embedded")
    applied = []
    for each in (plain, coder, plain):
        policy = replace(each.policy, calibration=state)
        assert registry.offer(encode(replace(each, policy=policy)), "file")
        applied.append((calibrating.digest, calibrating(said).confidence))
    assert applied[1] == ("", 0.9)
    assert applied[0] == applied[2] != applied[1]
    assert applied[0][0] == state.digest
