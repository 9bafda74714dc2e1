"""Prices that a resource states, and those that providers publish."""

from __future__ import annotations

from decimal import Decimal

import genai_prices
import pytest

from hybrid_operator.api import published
from hybrid_operator.core import prices
from hybrid_operator.core.engine import data
from tests.support.resources import spec


def price(text: str):
    (provider,) = spec(f"models: []\nproviders: [{text}]").providers
    return prices.price(provider, provider.models[0])


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        pytest.param(
            "{name: openai, models: [{name: gpt-4o-mini}]}", ("0.15", "0.6", "0.075"), id="known"
        ),
        pytest.param(
            "{name: openai, models: [{name: gpt-4o-mini-2024-07-18}]}",
            ("0.15", "0.6", "0.075"),
            id="a dated release of it",
        ),
        pytest.param(
            "{name: cheap, type: openai, models: [{name: small, upstream: gpt-4o-mini}]}",
            ("0.15", "0.6", "0.075"),
            id="by the name that the provider knows",
        ),
        pytest.param(
            "{name: openai, models: [{name: gpt-4o, prices: {inputUSD: '1', outputUSD: '2'}}]}",
            ("1", "2", "1"),
            id="stated ones win",
        ),
        pytest.param("{name: openai, models: [{name: gpt-nobody}]}", None, id="an unknown model"),
        pytest.param(
            "{name: fast, type: openai-compatible, baseURL: 'https://api.groq.com/openai/v1',"
            " models: [{name: big, upstream: llama-3.3-70b-versatile}]}",
            ("0.59", "0.79", "0.59"),
            id="another provider, by the host of its API",
        ),
        pytest.param(
            "{name: groq, type: openai-compatible, baseURL: 'https://api.groq.com.evil.example/v1',"
            " models: [{name: llama-3.3-70b-versatile}]}",
            None,
            id="a host that only looks like one",
        ),
        pytest.param(
            "{name: openai, baseURL: 'https://mine.example', models: [{name: gpt-4o}]}",
            None,
            id="an endpoint that may be anybody's",
        ),
    ],
)
def test_a_model_costs_what_is_stated_or_published(provider, expected):
    found = price(provider)
    known = None if expected is None else tuple(map(Decimal, expected))
    assert (found and (found.input, found.output, found.cached_input)) == known


def test_published_prices_name_their_source_and_date():
    assert prices.source().startswith("genai-prices ")
    assert "last checked 20" in prices.source()


def test_prices_depend_on_no_hour(monkeypatch):
    asked = []

    def calc_price(usage, model, **options):
        asked.append(options.get("genai_request_timestamp"))
        return genai_prices.calc_price(usage, model, **options)

    monkeypatch.setattr(published, "calc_price", calc_price)
    document = published.document()
    assert set(asked) == {published.priced_at()}  # DeepSeek's API has other prices at some hours
    assert document == data.text("api_prices.json")
