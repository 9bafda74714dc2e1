"""Providers that answer nobody without a key, and have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem
from hybrid_operator.core import table

if TYPE_CHECKING:
    from hybrid_operator.api.providers import Provider
    from hybrid_operator.api.resource import HybridInferenceSpec


def warnings(spec: HybridInferenceSpec) -> list[Problem]:
    """Return each provider that will refuse every request with 401."""
    return [
        Problem(
            f"spec.providers[{index}].apiKey",
            f"is missing, and {provider.name} answers nobody without a key: "
            f"{{secretKeyRef: {{name: {provider.name}, key: api-key}}}} names a Secret's",
        )
        for index, provider in enumerate(spec.providers)
        if refuses(provider)
    ]


def refuses(provider: Provider) -> bool:
    """Whether it will refuse every request, because there is no key."""
    if provider.api_key is not None:
        return False
    kind = table.kind(provider)
    # Behind an address of one's own may be a proxy that adds the key.
    return kind == "azure-openai" or (kind in table.BASE_URLS and provider.base_url is None)
