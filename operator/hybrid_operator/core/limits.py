"""From the resource to the table's limits of client keys and of providers' accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core import naming
from hybrid_router.table import KeyLimits, Keys, RateLimits, Service

if TYPE_CHECKING:
    from hybrid_operator.api.providers import Provider
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.api.resource import KeyLimits as Wanted
    from hybrid_operator.core.state import Owner


def client_keys(spec: HybridInferenceSpec, directory: str) -> Keys | None:
    """Return where clients' keys are and what each may ask for; None if everyone is served."""
    keys = spec.router.client_keys
    if keys is None:
        return None
    return Keys(
        directory=directory,
        limits=_of_key(keys.limits) if keys.limits is not None else None,
        limits_by_key={each.name: _of_key(each) for each in keys.overrides},
    )


def of_account(provider: Provider) -> RateLimits | None:
    """Return what a provider's account allows; None where nothing is said."""
    limits = provider.rate_limits
    if limits is None:
        return None
    return RateLimits(
        requests_per_minute=limits.requests_per_minute, tokens_per_minute=limits.tokens_per_minute
    )


def sharers(owner: Owner, spec: HybridInferenceSpec) -> Service | None:
    """Return the Service whose endpoints share the limits; None where there are none to share."""
    keys = spec.router.client_keys
    limited = keys is not None and (keys.limits is not None or bool(keys.overrides))
    if not limited and all(provider.rate_limits is None for provider in spec.providers):
        return None
    return Service(namespace=owner.namespace, name=naming.router(owner.name))


def _of_key(limits: Wanted) -> KeyLimits:
    return KeyLimits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrency=limits.concurrency,
    )
