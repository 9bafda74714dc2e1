"""`spec.providers[]`: external LLM APIs."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from hybrid_operator.api.base import (
    MAP_BY_NAME,
    USD,
    DNSLabel,
    ModelName,
    Rule,
    SecretValue,
    Shape,
    Spec,
    rule,
)

HTTP_URL = Shape(
    "https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[^ ?#]*)?",
    "must be an http or https URL without credentials, query or fragment, "
    "such as https://llm.example.com/v1",
)
URL = Annotated[str, Meta(max_length=1024), HTTP_URL]
AZURE_VERSION = Shape("[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?", "must be a date, such as 2024-10-21")
KNOWN = ("openai", "anthropic")
"""Names and types that bring their own base URL."""


class Prices(Spec, frozen=True, kw_only=True):
    """What a provider charges, in US dollars per million tokens."""

    input_usd: USD = field(name="inputUSD")
    """Per million prompt tokens."""
    output_usd: USD = field(name="outputUSD")
    """Per million generated tokens."""
    cached_input_usd: USD | None = field(name="cachedInputUSD", default=None)
    """Per million prompt tokens that the provider had cached. Defaults to inputUSD."""


class ProviderModel(Spec, frozen=True, kw_only=True):
    """A model that the provider serves."""

    name: ModelName
    """Name that clients ask for."""
    upstream: ModelName | None = None
    """Name that the provider knows it by (Azure: the deployment). Defaults to name."""
    prices: Prices | None = None
    """What it costs. Defaults to the published price, where there is one."""


class RateLimits(Spec, frozen=True, kw_only=True):
    """What may be asked for per minute."""

    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Requests per minute, over all routers."""
    tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Tokens per minute, over all routers."""


class Provider(Spec, frozen=True, kw_only=True):
    """An external LLM API."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "has(self.type) || self.name in ['openai', 'anthropic']",
            "type is required unless name is openai or anthropic: "
            "one of openai, anthropic, azure-openai, openai-compatible",
            lambda p: p.type is not None or p.name in KNOWN,
        ),
        rule(
            "has(self.baseURL) || (has(self.type) ? self.type in ['openai', 'anthropic'] : true)",
            "baseURL is required for types azure-openai and openai-compatible",
            lambda p: p.base_url is not None or p.type is None or p.type in KNOWN,
        ),
        rule(
            "!has(self.apiVersion) || (has(self.type) && self.type == 'azure-openai')",
            "apiVersion is for type azure-openai only",
            lambda p: p.api_version is None or p.type == "azure-openai",
        ),
    )

    name: DNSLabel
    """Name of the account. openai and anthropic bring type and base URL."""
    type: Literal["openai", "anthropic", "azure-openai", "openai-compatible"] | None = None
    """Dialect that the API speaks. Defaults to name where that is openai or anthropic."""
    base_url: URL | None = field(name="baseURL", default=None)
    """Base URL, with the version path. Defaults to the provider's own."""
    api_version: Annotated[str, Meta(max_length=32), AZURE_VERSION] | None = None
    """Version of Azure's API, such as 2024-10-21: requests then go to the URLs of deployments.
    Without it they go to its /openai/v1."""
    api_key: SecretValue | None = None
    """Key of the account. OpenAI, Anthropic and Azure refuse requests without one."""
    models: Annotated[
        list[ProviderModel], Meta(min_length=1, max_length=64, extra_json_schema=MAP_BY_NAME)
    ]
    """Models that may be used; the first is what aliases use by default."""
    rate_limits: RateLimits | None = None
    """What the account allows."""
