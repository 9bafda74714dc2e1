"""Prices of external models. Never asks the network.

Of the providers whose API is known by its host they stand in the operator's data; of others, and
for long prompts, which may cost more, in genai-prices, which takes 0.3 s to import.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from hybrid_operator.cli.main import BadInputError
from hybrid_operator.core import prices

if TYPE_CHECKING:
    from decimal import Decimal

SHORT = 16_384
"""Tokens of a prompt up to which no model has a price of its own for long prompts."""
_MILLION = 1_000_000


def request_usd(
    model: str, input_tokens: int, cached_tokens: int, output_tokens: int
) -> tuple[Decimal, str]:
    """Return what one request costs, and whose price that is as of when.

    Args:
        model: `gpt-4o-mini`, or with its provider `openai/gpt-4o-mini`.
        input_tokens: of a request, cached ones among them.
        cached_tokens: of these, those that the provider has cached.
        output_tokens: of a request.

    Raises:
        BadInputError: nobody sells such a model; the nearest names are said.
    """
    provider, _, name = model.rpartition("/")
    provider = provider or prices.sold_by(name) or ""
    price = prices.published(provider, name)
    if price is None or input_tokens > SHORT:
        return _snapshot(model, input_tokens, cached_tokens, output_tokens)
    usd = (input_tokens - cached_tokens) * price.input
    usd += cached_tokens * price.cached_input + output_tokens * price.output
    return usd / _MILLION, f"price of {provider}/{name} from {prices.source()}"


def _snapshot(
    model: str, input_tokens: int, cached_tokens: int, output_tokens: int
) -> tuple[Decimal, str]:
    from genai_prices import Usage, calc_price  # noqa: PLC0415  see above
    from genai_prices.data import providers  # noqa: PLC0415

    from hybrid_operator.api.published import priced_at  # noqa: PLC0415

    provider, _, name = model.rpartition("/")
    usage = Usage(
        input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens
    )
    try:
        found = calc_price(
            usage, name, provider_id=provider or None, genai_request_timestamp=priced_at()
        )
    except LookupError:
        names = sorted({each.id for group in providers for each in group.models})
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise BadInputError(
            f"--api {model}: genai-prices has no price{hint} --input-price and --output-price "
            "say any other"
        ) from None
    return (
        found.total_price,
        f"price of {found.provider.id}/{found.model.id} from {prices.source()}",
    )
