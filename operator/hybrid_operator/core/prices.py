"""What providers publish as their prices (`engine/data/api_prices.json`, by `make generate`)."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from hybrid_operator.core.engine import data

if TYPE_CHECKING:
    from hybrid_operator.api.providers import Provider, ProviderModel


HOSTS = {
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.moonshot.ai": "moonshotai",
    "api.openai.com": "openai",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together",
    "api.x.ai": "x-ai",
    "api.z.ai": "zai",
}
"""Whose API a host is, where what it charges is published; names as genai-prices has them."""


class Price(msgspec.Struct, frozen=True, array_like=True):
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cached_input: Decimal


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    providers: dict[str, dict[str, Price]]


@cache
def _file() -> _File:
    return msgspec.json.decode(data.text("api_prices.json"), type=_File)


_DATED = re.compile(r"-(20[0-9]{2}-?[01][0-9]-?[0-3][0-9]|latest)$")
"""What names a release of a model, as in gpt-4o-2024-11-20."""


def source() -> str:
    """Return where the published prices are from, and as of when."""
    return _file().source


def published(provider: str, model: str) -> Price | None:
    """Return what `provider` publishes for `model`; None where it is not known."""
    known = _file().providers.get(provider, {})
    return known.get(model) or known.get(_DATED.sub("", model))


def sold_by(model: str) -> str | None:
    """Return the provider of whom it is published what `model` costs; None for none or several."""
    found = [name for name, models in _file().providers.items() if model in models]
    return found[0] if len(found) == 1 else None


def price(provider: Provider, model: ProviderModel) -> Price | None:
    """Return what the resource says that `model` costs, else what its provider publishes.

    A base URL says whose API it is by its host; of one that may be anybody's nothing is published.
    """
    stated = model.prices
    if stated is not None:
        cached = stated.cached_input_usd or stated.input_usd
        return Price(Decimal(stated.input_usd), Decimal(stated.output_usd), Decimal(cached))
    whose: str | None = provider.type or provider.name
    if provider.base_url is not None:
        whose = HOSTS.get(urlsplit(provider.base_url).hostname or "")
    return published(whose, model.upstream or model.name) if whose is not None else None
