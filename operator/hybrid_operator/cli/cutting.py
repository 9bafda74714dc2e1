"""`hinf classifier cut`: the cheapest threshold of a cascade at a wanted quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from hybrid_operator.cli import texts
from hybrid_operator.cli.main import EXIT_NO, BadInputError, output_option
from hybrid_operator.cli.numbers import Number
from hybrid_operator.cli.output import emit, table
from hybrid_router.core.cost import Cut, Prices, Sample, choose_cut, curve, down
from hybrid_router.table import Price

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 10
"""Lines of the table, beside the chosen one."""
_USD = Number(min=0)


@click.command()
@click.argument("samples")
@click.option(
    "--quality",
    type=Number(0, 1),
    default=0.95,
    show_default=True,
    help="Share of the API's quality that is to be kept.",
)
@click.option(
    "--api-usd", nargs=2, type=_USD, required=True, metavar="INPUT OUTPUT",
    help="The API's prices, in USD per million tokens.",
)  # fmt: skip
@click.option(
    "--local-usd", type=_USD, required=True, metavar="USD",
    help="Of the local model, per million tokens; `hinf plan -o json` says it at capacity.",
)  # fmt: skip
@output_option
def cut(
    samples: str, quality: float, api_usd: tuple[float, float], local_usd: float, output: str
) -> None:
    """Choose a cascade's cheapest threshold from SAMPLES.

    SAMPLES (- reads standard input) holds one JSON object a line, of a prompt that both sides have
    answered: confidence (as in x-hybrid-confidence), local and api (how good each answer was, from
    0 to 1), prompt_tokens, draft_tokens (at most draftTokens), local_tokens and api_tokens. A draft
    that is thrown away is paid for. Exit status 1: drafts do not pay, whatever the threshold.
    """
    prices = Prices(
        Price(input=local_usd, output=local_usd), Price(input=api_usd[0], output=api_usd[1])
    )
    found = [_sample(line, number) for number, line in texts.lines(samples)]
    try:
        chosen, cuts = choose_cut(found, prices, quality), curve(found, prices)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    document = {"samples": len(found), "quality": quality, "chosen": _row(chosen)}
    emit(
        {**document, "cuts": [_row(each) for each in cuts]}, output, _page(chosen, cuts, len(found))
    )
    if chosen.threshold is None:
        raise click.exceptions.Exit(EXIT_NO)


def _sample(line: str, number: int) -> Sample:
    try:
        return msgspec.json.decode(line, type=Sample)
    except msgspec.DecodeError as error:
        raise BadInputError(f"line {number}: {error}") from None


def _row(each: Cut) -> dict[str, Any]:
    return {
        "threshold": each.threshold,
        "quality": round(each.quality, 4),
        "local": round(each.local, 4),
        "usd_per_1000_requests": round(each.usd * 1000, 6),
    }


def _page(chosen: Cut, cuts: Sequence[Cut], count: int) -> str:
    step = max(1, len(cuts) // ROWS)
    shown = [each for i, each in enumerate(cuts) if i % step == 0 or each in (chosen, cuts[-1])]
    rows = [
        (
            "no drafts" if each.threshold is None else f"{down(each.threshold):.4f}",
            f"{each.quality:.1%}",
            f"{each.local:.1%}",
            f"{each.usd * 1000:.4f}",
            "<- the cheapest" if each == chosen else "",
        )
        for each in shown
    ]
    text = table(("THRESHOLD", "QUALITY", "LOCAL", "USD PER 1000", ""), rows)
    if chosen.threshold is None:
        return f"{text}\n\nDrafts do not pay at these prices and this quality ({count} samples)."
    return (
        f"{text}\n\nFrom {count} samples. Next, in the resource:\n"
        f'  routing: {{threshold: "{down(chosen.threshold):.4f}", classifier: {{type: cascade}}}}'
    )
