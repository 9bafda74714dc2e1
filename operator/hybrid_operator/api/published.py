"""Prices of the providers whose API is known by its host, out of genai-prices.

Importing that package takes 200 ms, and its data are 1.5 MB: what is used of them is written into
the operator's data by `make generate`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import genai_prices
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from hybrid_operator.core.prices import HOSTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

MILLION = 1_000_000
TOKENS = 1000
"""Of the request that is priced: short, for long prompts cost more with some models."""
HOUR = 12
"""Of the day, in UTC, that prices are asked for: no discount for the night holds then, no surcharge
for busy hours."""
_DATE = re.compile(r"\b(?:as of|checked) (20[0-9]{2}-[01][0-9]-[0-3][0-9])\b")


def document() -> str:
    """Return the data file: USD per million input, output and cached input tokens."""
    entries = {name: dict(sorted(_prices(name))) for name in sorted(HOSTS.values())}
    source = f"genai-prices {version('genai-prices')}, last checked {newest_date()} or later"
    lines = []
    for name, prices in entries.items():
        rows = ",\n".join(f"      {json.dumps(m)}: {json.dumps(p)}" for m, p in prices.items())
        lines.append(f"    {json.dumps(name)}: {{\n{rows}\n    }}")
    inner = ",\n".join(lines)
    return f'{{\n  "source": {json.dumps(source)},\n  "providers": {{\n{inner}\n  }}\n}}\n'


def newest_date() -> str:
    """Return the newest date that the snapshot names: the day that it stands for at least."""
    text = (Path(genai_prices.__file__).parent / "data.py").read_text(encoding="utf-8")
    return max(str(each[1]) for each in _DATE.finditer(text))


def priced_at() -> datetime:
    """Return when prices hold: noon of the newest date, so that no answer depends on the clock."""
    return datetime.fromisoformat(newest_date()).replace(hour=HOUR, tzinfo=UTC)


def _prices(provider: str) -> Iterator[tuple[str, list[str]]]:
    at = priced_at()
    found = next(each for each in providers if each.id == provider)

    def usd(model: str, usage: Usage) -> Decimal:
        return calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=at
        ).total_price

    for model in found.models:
        try:
            costs = [usd(model.id, usage(TOKENS)) for usage in _USAGES]
        except LookupError:  # it has an entry, and no name that finds it
            continue
        # Not those that charge for the request itself (Perplexity's searches).
        if costs[0] and usd(model.id, _USAGES[0](2 * TOKENS)) == 2 * costs[0]:
            yield model.id, [f"{(each * MILLION / TOKENS).normalize():f}" for each in costs]


_USAGES: tuple[Callable[[int], Usage], ...] = (
    lambda tokens: Usage(input_tokens=tokens),
    lambda tokens: Usage(output_tokens=tokens),
    lambda tokens: Usage(input_tokens=tokens, cache_read_tokens=tokens),
)
"""What is priced: input, output, cached input."""
