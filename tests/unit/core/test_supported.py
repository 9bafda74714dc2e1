"""What has no effect yet is named, each field by its path."""

from __future__ import annotations

import pytest
import yaml

from hybrid_operator.core.plan import plan
from hybrid_operator.core.supported import not_acted_on
from tests.support.resources import MINIMAL, NOW, example, observed, spec


def model(text: str) -> str:
    """Return the minimal resource with more said of its model."""
    document = yaml.safe_load(MINIMAL)
    document["models"][0].update(yaml.safe_load(text))
    return yaml.safe_dump(document)


CASES = [
    pytest.param(MINIMAL, [], id="nothing in the smallest resource"),
    pytest.param(
        MINIMAL + "routing: {dataPolicy: {keepLocal: [email]}}", [], id="a data policy is kept"
    ),
    pytest.param(MINIMAL + "routing: {classifier: {type: cascade}}", [], id="a cascade is"),
    pytest.param(
        MINIMAL + "routing: {comparison: {judge: {provider: openai, model: gpt-4o}, "
        'share: "0.01", usdPerDay: "1"}}',
        [],
        id="a comparison by a model of known price is",
    ),
    pytest.param(
        MINIMAL + "routing: {comparison: {judge: {provider: openai, model: nope}, "
        'share: "0.01", usdPerDay: "1"}}',
        ["spec.routing.comparison.judge"],
        id="but not one by a model that is not there",
    ),
    pytest.param(
        "providers: [{name: openai, baseURL: https://example.com, models: [{name: gpt-4o}]}]\n"
        "routing: {comparison: {judge: {provider: openai, model: gpt-4o}, "
        'share: "0.01", usdPerDay: "1"}}',
        ["spec.routing.comparison"],
        id="nor one that costs nobody knows what",
    ),
    pytest.param(
        MINIMAL + "routing: {intents: [{name: chat, models: [llama-3-8b, gpt-4o]}], "
        "rules: [{name: own, match: {aliases: [auto, openai/gpt-4o]}, models: [llama-3-8b]}]}",
        [],
        id="names that are there",
    ),
    pytest.param(
        MINIMAL + "routing: {intents: [{name: chat, models: [llama-3-8b, nope]}], "
        "rules: [{name: own, match: {aliases: [nope], keys: [gold]}, models: [nope]}]}",
        [
            "spec.routing.intents[0].models[1]",
            "spec.routing.rules[0].match.aliases[0]",
            "spec.routing.rules[0].match.keys",
            "spec.routing.rules[0].models[0]",
        ],
        id="names that nothing has",
    ),
    pytest.param(MINIMAL + "routing: {prefixAffinity: true}", [], id="but not prefix affinity"),
    pytest.param(
        MINIMAL + 'budgets: [{name: all, period: day, limitUSD: "1"}]',
        ["spec.budgets"],
        id="budgets",
    ),
    pytest.param(
        "providers: [{name: anthropic, models: [{name: claude}]}]", [], id="any provider is used"
    ),
    pytest.param(
        "providers: [{name: openai, models: [{name: gpt-4o}], rateLimits: {requestsPerMinute: 1}}]",
        [],
        id="but not a provider's rate limits",
    ),
    pytest.param(
        model("loras: [{name: sql, source: {pvc: {claim: a}}}]"), [], id="adapters are loaded"
    ),
    pytest.param(
        model("loras: [{name: sql, source: {huggingFace: {repo: a/b, revision: v1}}}]"),
        ["spec.models[0].loras[0].source.huggingFace.revision"],
        id="but not an adapter's revision",
    ),
    pytest.param(
        model(
            "source: {huggingFace: {repo: a/b, token: {secretKeyRef: {name: one, key: token}}}}\n"
            "loras: [{name: sql, source: {huggingFace: {repo: a/b, "
            "token: {secretKeyRef: {name: other, key: token}}}}}]"
        ),
        ["spec.models[0].loras[0].source.huggingFace.token"],
        id="nor a token of its own beside the model's",
    ),
    pytest.param(model('cost: {gpuHourUSD: "1"}'), [], id="prices are"),
    pytest.param(
        model("cache: {nodePath: /data}"),
        ["spec.models[0].cache.nodePath"],
        id="a cache on the node",
    ),
    pytest.param(
        MINIMAL
        + "routing: {dataPolicy: {keepLocal: [a], patterns: [{name: a, pattern: x}, {name: b, "
        "pattern: y}], words: [{name: c, words: [z]}]}}",
        ["spec.routing.dataPolicy.patterns[1]", "spec.routing.dataPolicy.words[0]"],
        id="classes of one's own that nothing is done about",
    ),
    pytest.param(model("scaling: {max: 4}"), [], id="automatic scaling is"),
    pytest.param(model("scaling: {min: 0}"), [], id="waking from zero is"),
    pytest.param(model("scaling: {min: 2}"), [], id="but not a fixed number of replicas"),
    pytest.param(
        model("scaling: {mode: External, max: 4}"), [], id="but not scaling by somebody else"
    ),
]


@pytest.mark.parametrize(("text", "paths"), CASES)
def test_has_no_effect_yet(text, paths):
    assert [problem.path for problem in not_acted_on(spec(text))] == paths


def message(text: str) -> str:
    found = plan(observed(text), NOW).status["conditions"]
    return str(next(each["message"] for each in found if each["type"] == "Supported"))


def test_the_condition_says_what_happens_instead():
    assert message(model("cache: {nodePath: /data}")) == (
        "spec.models[0].cache.nodePath: host paths are not mounted yet; the pod's own disk is used"
    )


def test_a_name_that_no_model_has_is_quoted_with_what_becomes_of_requests():
    text = MINIMAL + "routing: {rules: [{name: own, models: [llama-3-8]}]}"
    assert message(text) == (
        "spec.routing.rules[0].models[0]: 'llama-3-8' is no model of the resource; what the rule "
        "matches is refused; did you mean llama-3-8b?"
    )


def test_what_the_release_of_vllm_cannot_do_is_said_there_too():
    text = model('engine: {version: "0.16", weightOffload: {size: 1Gi, backend: prefetch}}')
    assert message(text).startswith("spec.models[0].engine.weightOffload.backend: prefetch came")


def test_of_a_resource_that_says_a_lot_every_path_is_still_named():
    found = example("full.yaml")
    assert found.spec is not None
    (condition,) = (
        each for each in plan(found, NOW).status["conditions"] if each["type"] == "Supported"
    )
    for problem in not_acted_on(found.spec):
        assert problem.path in condition["message"]
