"""What rules of the resource become in the table."""

from __future__ import annotations

import pytest

from hybrid_operator.core import rules
from tests.support.resources import spec


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        pytest.param("a", ("a",), id="a local model"),
        pytest.param("prod", ("a",), id="by another of its names"),
        pytest.param("big", ("big-2026", "big"), id="one that two providers have"),
        pytest.param("x/big", ("big-2026",), id="one provider's"),
        pytest.param("tickets", ("tickets",), id="an adapter"),
    ],
)
def test_a_rule_allows_models_by_any_name_that_clients_use(
    named: str, allowed: tuple[str, ...]
) -> None:
    lora = "{name: tickets, source: {pvc: {claim: p, path: t}}}"
    stated = spec(f"""
    models:
      - {{name: a, catalog: phi-4, servedNames: [prod], accelerator: {{type: l4}}, loras: [{lora}]}}
    providers:
      - {{name: x, type: openai-compatible, baseURL: "http://x/v1",
          models: [{{name: big, upstream: big-2026}}]}}
      - {{name: y, type: openai-compatible, baseURL: "http://y/v1", models: [{{name: big}}]}}
    routing: {{rules: [{{name: only, models: [{named}]}}]}}
    """)
    (rule,) = rules.rules(stated)
    assert rule.models == allowed


def test_a_rule_for_a_local_model_does_not_allow_a_providers_of_that_name() -> None:
    stated = spec("""
    models: [{name: a, catalog: phi-4, accelerator: {type: l4}}]
    providers:
      - {name: x, type: openai-compatible, baseURL: "http://x/v1",
          models: [{name: big, upstream: a}, {name: other}]}
    routing: {rules: [{name: inside, models: [a]}, {name: outside, models: [big, other]}]}
    """)
    inside, outside = rules.rules(stated)
    assert inside.models == ("local/a/a",)
    assert outside.models == ("api/x/a", "other")
