"""Which weights a cascade's confidences are of."""

from __future__ import annotations

import pytest
from msgspec import structs
from msgspec.structs import replace

from hybrid_operator.core.plan import plan
from hybrid_router.classify import question
from hybrid_router.classify.identity import identity
from hybrid_router.table import Classifier, Policy, RouteTable, Target, decode
from tests.support.resources import MINIMAL, NOW, applied, observed
from tests.unit.core.test_calibration import OLD, TABLE, after, condition, offering

MODEL = "name: llama-3-8b"
ROUTING = "\nrouting: {classifier: {type: cascade}, calibration: {configMap: outcomes}}\n"
HUB = "name: llama-3-8b\n    source: {huggingFace: {repo: meta-llama/Meta-Llama-3-8B-Instruct"


def drafting(model: str) -> RouteTable:
    seen = observed(MINIMAL.replace(MODEL, model) + ROUTING)
    seen = replace(seen, offer=None)
    found = applied(seen, plan(seen, NOW)).children[TABLE]
    return decode(found["data"]["table.json"].encode())


@pytest.mark.parametrize(
    ("model", "same"),
    [
        pytest.param(MODEL, True, id="the same resource"),
        pytest.param(f"{MODEL}\n    quantization: fp8", False, id="another quantization"),
        pytest.param(f"{HUB}, revision: abc}}}}", False, id="another revision"),
        pytest.param(
            f"{MODEL}\n    source: {{pvc: {{claim: weights}}}}", False, id="weights of a volume"
        ),
        pytest.param(f"{MODEL}\n    servedNames: [small]", True, id="another name for clients"),
    ],
)
def test_a_cascade_is_of_the_weights_that_draft(model: str, *, same: bool) -> None:
    assert (identity(drafting(model)) == identity(drafting(MODEL))) is same


def test_an_slm_is_also_of_what_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(backend="e", model="m")
    asked = RouteTable(policy=Policy(classifier=Classifier(type="slm", target=target)))
    drafts = RouteTable(policy=Policy(classifier=Classifier(type="cascade", target=target)))
    before = identity(asked), identity(drafts)
    monkeypatch.setattr(question, "BEFORE", question.BEFORE[:1])
    assert identity(asked) != before[0]
    assert identity(drafts) == before[1]


def test_a_token_is_no_part_of_the_weights() -> None:
    token = ", token: {secretKeyRef: {name: hub, key: token}}"
    assert identity(drafting(f"{HUB}}}}}")) == identity(drafting(f"{HUB}{token}}}}}"))


def test_a_state_of_other_weights_is_refused_in_a_sentence_that_says_what_changed() -> None:
    of_drafts = structs.replace(OLD, classifier="cascade")
    seen = after(offering(observed(MINIMAL + ROUTING), of_drafts))
    first, *rest = seen.reports
    seen = replace(seen, reports=(replace(first, states={of_drafts.digest: False}), *rest))
    _, reason, message = condition(plan(seen, NOW))
    assert reason == "OtherModel"
    assert "a local model's source, revision or quantization changed: fit it again" in message
