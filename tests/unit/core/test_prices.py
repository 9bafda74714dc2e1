"""Prices that a resource states, and those that providers publish."""

from __future__ import annotations

from decimal import Decimal

import genai_prices
import pytest

from hybrid_operator.api import published
from hybrid_operator.cli.prices import request_usd
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


def test_who_charges_for_requests_has_no_price_of_tokens():
    assert prices.published("perplexity", "sonar") is None


@pytest.mark.parametrize("tokens", [(1000, 0, 300), (16_384, 5000, 800)])
def test_what_is_published_is_what_genai_prices_says(tokens):
    sent, cached, answered = tokens
    usage = genai_prices.Usage(input_tokens=sent, cache_read_tokens=cached, output_tokens=answered)
    for provider, model in (("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5")):
        said = genai_prices.calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=published.priced_at()
        )
        usd, note = request_usd(f"{provider}/{model}", *tokens)
        assert usd == said.total_price
        assert note.startswith(f"price of {provider}/{model} from genai-prices")
