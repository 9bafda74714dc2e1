"""What is wrong with a spec whose values all have the right form."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.api.read import parse_stored
from hybrid_operator.api.validate import problems

ADAPTER = {"name": "sql", "source": {"pvc": {"claim": "adapters"}}}
DIFFER = (
    "name, servedNames and names of loras must differ, over all models: clients ask for a model "
    "by any of them"
)


def _model(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "accelerator": {"type": "a10g"}, **more}


def _said(**spec: Any) -> list[str]:
    return [str(problem) for problem in problems(parse_stored(spec))]


def test_adapters_of_one_name_on_two_models_are_found_here_alone():
    """In CEL the rule would cost four times what the API server allows."""
    said = _said(models=[_model("a", loras=[ADAPTER]), _model("b", loras=[ADAPTER])])

    assert said == [f"spec.models[1].loras[0].name: {DIFFER}"]


def test_an_alias_may_wait_for_a_provider_while_there_is_none():
    alias = {"name": "best", "local": ["a"], "api": [{"provider": "openai", "model": "gpt-4o"}]}

    assert _said(models=[_model("a")], routing={"aliases": [alias]}) == []


def test_an_alias_may_lead_to_an_adapter():
    alias = {"name": "queries", "local": ["sql", "a"]}

    assert _said(models=[_model("a", loras=[ADAPTER])], routing={"aliases": [alias]}) == []


def test_two_providers_may_serve_a_model_of_one_name():
    azure = {
        "name": "azure",
        "type": "azure-openai",
        "baseURL": "https://me.example.com",
        "models": [{"name": "gpt-4o"}],
    }

    assert _said(providers=[{"name": "openai", "models": [{"name": "gpt-4o"}]}, azure]) == []


def test_every_problem_is_told_once_and_in_the_order_of_the_fields():
    said = _said(
        models=[_model("a", scaling={"min": 2, "max": 1}), _model("auto", source={})],
        budgets=[{"name": "total", "period": "day", "limitUSD": "0"}],
    )

    assert said == [
        "spec.models[1].name: auto is always an alias; give the model another name",
        "spec.models[0].scaling: min must not be above max",
        "spec.models[1].source: needs exactly one of huggingFace, pvc or image",
        "spec.budgets[0]: limitUSD must be above 0; to use no API at all, leave providers out",
    ]


@pytest.mark.parametrize("share", ["0", "0.0", "0.000"])
def test_a_share_of_nothing_is_refused_however_it_is_written(share: str):
    said = _said(models=[_model("a", scaling={"targetUtilization": share})])

    assert said == ["spec.models[0].scaling: targetUtilization must be above 0"]


def test_a_stored_intent_that_no_classifier_names_is_read_and_named():
    said = _said(models=[_model("a")], routing={"intents": [{"name": "sql", "prefer": "local"}]})

    assert len(said) == 1
    assert said[0].startswith("spec.routing.intents[0].name: name must be an intent that")
    assert said[0].endswith("; 'sql' is none; did you mean text-to-sql?")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        pytest.param("creditcard", "; did you mean payment-card?", id="a part of the name"),
        pytest.param("emial", "; did you mean email?", id="a slip"),
        pytest.param("nosuch", "'nosuch' is none", id="nothing like it"),
    ],
)
def test_a_class_of_data_that_nothing_finds_is_quoted(written: str, told: str):
    [said] = _said(models=[_model("a")], routing={"dataPolicy": {"redact": ["email", written]}})

    assert said.startswith("spec.routing.dataPolicy.redact[1]: redact must name built-in classes")
    assert said.endswith(told)
