"""A provider without a key that answers nobody without one is told of before it refuses."""

from __future__ import annotations

import pytest

from hybrid_operator.core.keyless import warnings
from hybrid_operator.core.plan import plan
from tests.support.resources import NOW, observed, spec

KEY = "apiKey: {secretKeyRef: {name: k, key: api-key}}"


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        pytest.param("name: openai", True, id="OpenAI"),
        pytest.param("name: mine, type: anthropic", True, id="Anthropic under another name"),
        pytest.param(
            "name: mine, type: azure-openai, baseURL: https://x.openai.azure.com", True, id="Azure"
        ),
        pytest.param(f"name: openai, {KEY}", False, id="with a key"),
        pytest.param("name: openai, baseURL: http://proxy/v1", False, id="behind a proxy"),
        pytest.param(
            "name: mine, type: openai-compatible, baseURL: http://a/v1", False, id="compatible"
        ),
    ],
)
def test_a_provider_that_wants_a_key_and_has_none_is_named(provider, told):
    found = warnings(spec(f"providers: [{{{provider}, models: [{{name: m}}]}}]"))
    assert [each.path for each in found] == ["spec.providers[0].apiKey"] * told


@pytest.mark.parametrize(
    ("key", "told"), [pytest.param("", True, id="none"), pytest.param(f", {KEY}", False, id="one")]
)
def test_the_condition_tells_of_it_before_the_first_request_is_refused(key, told):
    seen = observed(f"providers: [{{name: openai, models: [{{name: gpt-4o}}]{key}}}]")
    conditions = {each["type"]: each for each in plan(seen, NOW).status["conditions"]}
    said = conditions["ProvidersReachable"]["message"]
    assert said.endswith("without an apiKey, they will refuse them: openai") == told
