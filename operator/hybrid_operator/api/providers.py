"""`spec.providers[]`: external LLM APIs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

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
URL = Annotated[str, Field(max_length=1024), HTTP_URL]
AZURE_VERSION = Shape("[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?", "must be a date, such as 2024-10-21")
KNOWN = ("openai", "anthropic")
"""Names and types that bring their own base URL."""


class Prices(Spec):
    """What a provider charges, in US dollars per million tokens."""

    input_usd: Annotated[USD, Field(alias="inputUSD")]
    """Per million prompt tokens."""
    output_usd: Annotated[USD, Field(alias="outputUSD")]
    """Per million generated tokens."""
    cached_input_usd: Annotated[USD | None, Field(alias="cachedInputUSD")] = None
    """Per million prompt tokens that the provider had cached. Defaults to inputUSD."""


class ProviderModel(Spec):
    """A model that the provider serves."""

    name: ModelName
    """Name that clients ask for."""
    upstream: ModelName | None = None
    """Name that the provider knows it by (Azure: the deployment). Defaults to name."""
    prices: Prices | None = None
    """What it costs. Defaults to the published price, where there is one."""


class RateLimits(Spec):
    """What may be asked for per minute."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests per minute, over all routers."""
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Tokens per minute, over all routers."""


class Provider(Spec):
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
    base_url: Annotated[URL | None, Field(alias="baseURL")] = None
    """Base URL, with the version path. Defaults to the provider's own."""
    api_version: Annotated[str | None, Field(max_length=32), AZURE_VERSION] = None
    """Version of Azure's API, such as 2024-10-21: requests then go to the URLs of deployments.
    Without it they go to its /openai/v1."""
    api_key: SecretValue | None = None
    """The account's key. Without it, requests carry none."""
    models: Annotated[
        list[ProviderModel], Field(min_length=1, max_length=64, json_schema_extra=MAP_BY_NAME)
    ]
    """Models that may be used; the first is what aliases use by default."""
    rate_limits: RateLimits | None = None
    """What the account allows."""
