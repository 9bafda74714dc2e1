"""Prices of external models, from the snapshot that genai-prices brings. Never asks the network."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import version
from typing import TYPE_CHECKING

from genai_prices import Usage, calc_price
from genai_prices.data import providers

from hybrid_operator.api.published import newest_date, priced_at
from hybrid_operator.cli.main import BadInputError

if TYPE_CHECKING:
    from decimal import Decimal


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
    note = (
        f"price of {found.provider.id}/{found.model.id} from genai-prices "
        f"{version('genai-prices')}, last checked {newest_date()} or later"
    )
    return found.total_price, note
