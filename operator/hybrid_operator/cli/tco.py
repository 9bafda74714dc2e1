"""`hinf tco`: an external API against GPUs of one's own."""

from __future__ import annotations

import textwrap
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli import finding, plot
from hybrid_operator.cli.main import BadInputError
from hybrid_operator.cli.numbers import Number
from hybrid_operator.cli.output import WIDTH, emit, table
from hybrid_operator.core.engine import tco as money
from hybrid_operator.core.engine import throughput
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.memory import Serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.gpus import GPU
    from hybrid_operator.core.engine.tco import Comparison, Demand, Fleet

BUSY = 0.7
"""Share of an estimated rate that a month is taken to use."""
_WHOLE = finding.Whole(min=0)
_FORMS = ("table", "json", "yaml")


class _Answer(finding.Whole):
    """Tokens of an answer, where other commands have the form of theirs."""

    def convert(
        self,
        value: Any,  # noqa: ANN401  the base class's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401  the same
        """Read it; say which option was meant where it is a form."""
        if value in _FORMS:
            self.fail(f"is tokens per request here: the form is -o {value}", param, ctx)
        return super().convert(value, param, ctx)


_OPTIONS: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
    click.option("--requests-per-day", type=float, required=True, help="On average."),
    click.option("--input", "--input-tokens", "input_tokens", type=_WHOLE, required=True,
                 help="Tokens per request."),
    click.option("--output", "--output-tokens", "output_tokens", type=_Answer(min=0),
                 required=True, help="Tokens per request; -o is the form of the answer."),
    click.option("--api", help="Model whose price is compared, such as gpt-4o-mini."),
    click.option("--input-price", help="USD per million input tokens, instead of --api."),
    click.option("--output-price", help="USD per million output tokens."),
    click.option("--cached-price", help="USD per million cached input tokens."),
    click.option("--cached-share", type=Number(0, 1), default=0.0,
                 help="Share of input tokens that a cache has."),
    click.option("--gpu", default="a10g", show_default=True, help="Name of `hinf gpus`."),
    click.option("--gpu-price", help="USD for one GPU for one hour; default: the usual one."),
    click.option("--model", default="llama-3-8b", show_default=True, help="For the estimate."),
    click.option("--quantization", help="Format of the weights, for the estimate."),
    click.option("--tokens-per-s", type=float,
                 help="Input and output tokens per second of one GPU, as measured."),
    click.option("--utilisation", type=float,
                 help="Share of it used over a month; default: 1 as measured, 0.7 as estimated."),
    click.option("--peak-factor", type=float, default=1.0, help="Busiest time over average."),
    click.option("--min-gpus", type=finding.Whole(min=1), default=1, help="At least so many."),
    click.option("--hours-per-month", type=float, default=720.0, show_default=True,
                 help="730 for a twelfth of a year."),
    # Not `output_option`: its long form is the output tokens here.
    click.option("-o", "--form", "output", type=click.Choice(_FORMS),
                 default="table", show_default=True, help="Form of the answer."),
    click.option("--plot", "path", type=click.Path(dir_okay=False, path_type=Path),
                 help="Write the costs by volume to this .svg or .png file."),
]  # fmt: skip


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
def tco(output: str, path: Path | None, **asked: Any) -> None:  # noqa: ANN401  click's options
    """Compare a month of requests on an external API and on GPUs of one's own.

    Prices of APIs are those of genai-prices, installed with this program and used offline. A GPU's
    rate is measured (--tokens-per-s) or estimated by a roofline. Says when the API is cheaper.
    """
    demand = money.Demand(
        asked["requests_per_day"],
        asked["input_tokens"],
        asked["output_tokens"],
        asked["hours_per_month"],
    )
    gpu = finding.gpu(asked["gpu"])
    warnings: list[str] = []
    usd = _api(asked, demand, warnings)
    fleet = _fleet(asked, gpu, demand, warnings)
    try:
        found = money.compare(demand, usd, fleet)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    warnings += _capacity_warnings(demand, fleet, found)
    warnings += _t4_trap(gpu, fleet)
    curve = money.curve(demand, usd, fleet)
    if path is not None:
        _write(path, curve, {"demand": demand.tokens, "break-even": found.break_even_tokens or 0})
    document = _document(found, warnings)
    emit(document, output, _page(document, curve) if output == "table" else "")


def _write(path: Path, curve: list[plot.Volume], marks: dict[str, float]) -> None:
    try:
        if path.suffix == ".svg":
            path.write_text(plot.svg(curve, marks), encoding="utf-8")
        elif path.suffix == ".png":
            path.write_bytes(plot.png(curve, marks))
        else:
            raise BadInputError(f"--plot {path}: .svg and .png files are written")
    except ImportError:
        raise BadInputError(
            f"--plot {path}: PNG needs Pillow (pip install 'hybrid-inference[plot]'); .svg needs "
            "nothing"
        ) from None
    except OSError as error:
        raise BadInputError(f"--plot {path}: {error.strerror}") from None


def _api(asked: dict[str, Any], demand: Demand, warnings: list[str]) -> Decimal:
    """Return what one request costs on the API, in USD."""
    if demand.input_tokens + demand.output_tokens == 0:
        raise BadInputError("--input and --output: a request must have tokens")
    if asked["api"] is None:
        if asked["input_price"] is None or asked["output_price"] is None:
            raise BadInputError("say --api MODEL, or --input-price and --output-price")
        cached = asked["cached_price"]
        prices = money.Prices(
            _usd("--input-price", asked["input_price"]),
            _usd("--output-price", asked["output_price"]),
            _usd("--cached-price", cached) if cached is not None else None,
            asked["cached_share"],
        )
        return money.request_usd(demand, prices)
    from hybrid_operator.cli import prices as catalogue  # noqa: PLC0415  costs 200 ms to import

    cached_tokens = round(demand.input_tokens * asked["cached_share"])
    usd, note = catalogue.request_usd(
        asked["api"], demand.input_tokens, cached_tokens, demand.output_tokens
    )
    warnings.append(note)
    return usd


def _usd(option: str, text: str) -> Decimal:
    try:
        read = Decimal(text)
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite() or read < 0:
        raise BadInputError(f"{option} {text}: must be a price in USD such as 0.15, not negative")
    return read


def _fleet(asked: dict[str, Any], gpu: GPU, demand: Demand, warnings: list[str]) -> Fleet:
    price = gpu.usd_per_hour
    if asked["gpu_price"] is not None:
        price = _usd("--gpu-price", asked["gpu_price"])
    elif price is not None:
        warnings.append(
            f"{gpu.name}: {price} USD per hour ({gpu.price_source}); --gpu-price says yours"
        )
    if price is None:
        raise BadInputError(f"--gpu-price is missing: no usual price of {gpu.name} is known")
    rate, usual = asked["tokens_per_s"], 1.0
    if rate is None:
        rate, usual = _estimate(asked, gpu, demand, warnings), BUSY
    used = asked["utilisation"]
    if used is None:
        used = usual
        warnings.append(f"utilisation {used:g} over the month is assumed; --utilisation says yours")
    return money.Fleet(price, rate, used, asked["peak_factor"], asked["min_gpus"])


def _estimate(asked: dict[str, Any], gpu: GPU, demand: Demand, warnings: list[str]) -> float:
    name, shape = finding.shape(asked["model"])
    rate = _roofline(shape, gpu, asked, demand)
    if rate is None:
        raise BadInputError(
            f"no rate of {name} on {gpu.name} can be estimated: it does not fit, or its bandwidth "
            "is unknown; say --tokens-per-s, as measured"
        )
    low, high = throughput.error(held_out=True)
    points = sum(each.held_out for each in throughput.benchmarks())
    warnings.append(
        f"{rate:.0f} tokens/s per GPU is an estimate, {low:.2f} to {high:.2f} times what was "
        f"measured at {points} points that it was not set on; --tokens-per-s says yours"
    )
    return rate


def _roofline(shape: Shape, gpu: GPU, asked: dict[str, Any], demand: Demand) -> float | None:
    length = demand.input_tokens + demand.output_tokens
    serving = Serving(
        context=max(1, min(length, shape.max_length)),
        version=CURRENT.version,
        quantization=asked["quantization"],
    )
    traffic = throughput.Traffic(demand.input_tokens, demand.output_tokens, asked["cached_share"])
    try:
        return throughput.tokens_per_s(shape, gpu, serving, traffic)
    except ValueError as error:
        raise BadInputError(str(error)) from None


def _capacity_warnings(demand: Demand, fleet: Fleet, found: Comparison) -> list[str]:
    warnings = []
    if found.gpus > fleet.min_gpus:
        least = fleet.min_gpus
        served = fleet.capacity(least, demand.hours)
        needed = money.needed_tokens_per_s(demand, fleet, least)
        each = " each" if least > 1 else ""
        warnings.append(
            f"{least} GPU{'s' if least > 1 else ''} at {fleet.tokens_per_s:.0f} tokens/s can serve "
            f"{served / 1e9:.3g} billion tokens in {demand.hours:g} hours, not "
            f"{demand.tokens / 1e9:.4g} billion: that takes {needed:,.0f} tokens/s{each}, "
            f"or {found.gpus} GPUs"
        )
    if fleet.peak_factor == 1:
        warnings.append("demand is taken to be even; --peak-factor says how much peaks exceed it")
    return warnings


def _t4_trap(gpu: GPU, fleet: Fleet) -> list[str]:
    if gpu.name != "t4":
        return []
    other = finding.gpu("a10g")
    trap = (
        f"a T4 has no bfloat16 and no native FP8, {gpu.bandwidth_gbs} GB/s and {gpu.tflops} TFLOPS "
        f"against the A10G's {other.bandwidth_gbs} and {other.tflops}"
    )
    per_million = fleet.gpu_hour_usd / Decimal(str(fleet.tokens_per_s * 3600)) * money.MILLION
    said = f"{trap}: {per_million:.2f} USD per million tokens at {fleet.tokens_per_s:.0f} tokens/s"
    return [f"{said}. The price of an hour says little; compare --gpu a10g"]


def _document(found: Comparison, warnings: list[str]) -> dict[str, Any]:
    even = found.break_even_tokens
    return {
        "api_usd_per_month": round(float(found.api_usd), 2),
        "local_usd_per_month": round(float(found.local_usd), 2),
        "gpus": found.gpus,
        "tokens_per_month": round(found.tokens),
        "local_capacity_tokens_per_month": round(found.capacity),
        "api_usd_per_million_tokens": round(float(found.api_usd_per_million), 4),
        "local_usd_per_million_tokens": round(float(found.local_usd_per_million), 4),
        "break_even_tokens_per_month": None if even is None else round(even),
        "verdict": _verdict(found),
        "warnings": warnings,
    }


def _verdict(found: Comparison) -> str:
    difference = abs(found.api_usd - found.local_usd)
    dearer = max(found.api_usd, found.local_usd)
    share = difference / dearer * 100 if dearer else Decimal(0)
    plural = "GPU" if found.gpus == 1 else "GPUs"
    if found.local_wins:
        return (
            f"{found.gpus} {plural} of your own save {difference:,.0f} USD a month ({share:.0f} %)"
        )
    less = f"{difference:,.0f} USD a month less ({share:.0f} %)"
    said = f"the API costs {less} than {found.gpus} {plural}"
    if found.break_even_tokens is None:
        return f"{said}; at this rate and price GPUs never pay, whatever the volume"
    return f"{said}; GPUs pay from {found.break_even_tokens / 1e9:.3g} billion tokens a month on"


def _page(document: dict[str, Any], curve: list[plot.Volume]) -> str:
    even = document["break_even_tokens_per_month"]
    rows = [
        ("USD a month", document["api_usd_per_month"], document["local_usd_per_month"]),
        (
            "USD per million tokens",
            document["api_usd_per_million_tokens"],
            document["local_usd_per_million_tokens"],
        ),
        ("tokens a month", f"{document['tokens_per_month']:,}",
         f"up to {document['local_capacity_tokens_per_month']:,}"),
        ("GPUs", "", document["gpus"]),
        ("break-even, tokens a month", "", "never" if even is None else f"{even:,}"),
    ]  # fmt: skip
    return "\n\n".join(
        [
            textwrap.fill(f"Verdict: {document['verdict']}.", WIDTH),
            table(("", "API", "GPUS"), rows),
            plot.text(curve),
            table(("MIND",), [(each,) for each in document["warnings"]]),
        ]
    )
