"""What the engines of a resource serve and cost, for `hinf plan`.

Capacity is the roofline's estimate for requests of `INPUT` and `OUTPUT` tokens; `hinf tco` takes
measured rates, other mixes and the prices of genai-prices, which are too slow to load here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_operator.core import prices, replicas
from hybrid_operator.core.engine import tco, throughput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.engine.fit import Fit

INPUT, OUTPUT = 1000, 300
"""Tokens of the request that capacity is estimated for, as in the README's example."""
HOURS = 720
"""Of a month."""


class Part(msgspec.Struct, frozen=True):
    """The replicas of one model."""

    gpus: int
    tokens_per_s: float | None
    """Of all of them."""
    gpu_hour_usd: Decimal | None


def capacity(fit: Fit, tokens_in: int = INPUT, tokens_out: int = OUTPUT) -> int | None:
    """Return input and output tokens per second of one busy replica; None where unknown."""
    if fit.shape is None or fit.gpu is None or fit.serving is None or fit.impossible:
        return None
    scale = min(1, fit.serving.context / (tokens_in + tokens_out))
    traffic = throughput.Traffic(max(1, int(tokens_in * scale)), max(1, int(tokens_out * scale)))
    rate = throughput.tokens_per_s(fit.shape, fit.gpu, fit.serving, traffic)
    return None if rate is None else round(rate * fit.serving.gpus)


def gpu_hour_usd(model: ModelSpec, fit: Fit) -> Decimal | None:
    """Return what an hour of one of the model's GPUs costs: as stated, else the usual price."""
    stated = model.cost.gpu_hour_usd if model.cost else None
    return Decimal(stated) if stated is not None else fit.gpu.usd_per_hour if fit.gpu else None


def request_usd(model: ModelSpec, fit: Fit, tokens_in: int, tokens_out: int) -> float | None:
    """Return what a request costs on a replica that is busy all the time; idle hours come on top.

    None where price or capacity is unknown.
    """
    hour, rate = gpu_hour_usd(model, fit), capacity(fit, max(1, tokens_in), tokens_out)
    if hour is None or not rate:
        return None
    return float(hour) * model.accelerator.count / 3600 / rate * (tokens_in + tokens_out)


def fleet(pairs: Iterable[tuple[ModelSpec, Fit]]) -> list[Part]:
    """Return what the least replicas of models on GPUs take; one where a model may sleep."""
    found = []
    for model, fit in pairs:
        if fit.gpu is None:
            continue
        usd = gpu_hour_usd(model, fit)
        count = max(replicas.initial(model.scaling), 1)
        rate = capacity(fit)
        each = None if rate is None else float(rate * count)
        found.append(Part(count * model.accelerator.count, each, usd))
    return found


def document(parts: list[Part], spec: HybridInferenceSpec) -> dict[str, Any]:
    """Return the month's cost of what runs at least, and where it pays."""
    priced = all(part.gpu_hour_usd is not None for part in parts)
    usd = sum((part.gpus * (part.gpu_hour_usd or 0) * HOURS for part in parts), Decimal(0))
    rates = [part.tokens_per_s for part in parts]
    tokens = sum(rate or 0 for rate in rates) * 3600 * HOURS if None not in rates else None
    priced_model = _api(spec)
    api, whose = priced_model or (None, "no model of a provider has a known price")
    full = float(usd) * tco.MILLION / tokens if tokens and priced else None
    even = float(usd / api * tco.MILLION) if api and priced and parts else None
    pays = even is not None and tokens is not None and even <= tokens
    return {
        "hours_per_month": HOURS,
        "gpus": sum(part.gpus for part in parts),
        "local_usd_per_month": round(float(usd), 2) if priced else None,
        "local_capacity_tokens_per_month": round(tokens) if tokens is not None else None,
        "local_usd_per_million_tokens_at_capacity": round(full, 4) if full is not None else None,
        "api_usd_per_million_tokens": round(float(api), 4) if api is not None else None,
        "break_even_tokens_per_month": round(even) if pays and even is not None else None,
        "assumptions": [
            f"requests of {INPUT} input and {OUTPUT} output tokens, the least replicas, all month",
            "one replica of a model that may sleep",
            "tokens/s are a roofline's estimate; `hinf tco` takes measured ones",
            "GPU prices are cost.gpuHourUSD, else the catalogue's usual ones",
            f"the API's price: {whose}; `hinf tco --api` has all",
        ],
    }


def _api(spec: HybridInferenceSpec) -> tuple[Decimal, str] | None:
    """Return USD per million tokens of the mix at the first known price, and whose it is."""
    for provider in spec.providers:
        for model in provider.models:
            price = prices.price(provider, model)
            if price is not None:
                usd = tco.request_usd(
                    tco.Demand(1, INPUT, OUTPUT), tco.Prices(price.input, price.output)
                )
                whose = "as stated" if model.prices else prices.source()
                per_million = usd * tco.MILLION / (INPUT + OUTPUT)
                return per_million, f"{provider.name}/{model.name}, {whose}"
    return None


def page(cost: dict[str, Any], *, sleeps: bool) -> str:
    """Return the cost as a sentence; `sleeps` says whether a model may have no replica."""
    usd = cost["local_usd_per_month"]
    if usd is None:
        return f"{cost['gpus']} GPUs of unknown price: state cost.gpuHourUSD."
    even = cost["break_even_tokens_per_month"]
    tail = f"; pays from {even / 1e9:.3g} billion tokens a month on" if even else ""
    if not even and cost["api_usd_per_million_tokens"]:
        tail = "; at the API's stated price it does not pay"
    gpus = "GPU" if cost["gpus"] == 1 else "GPUs"
    awake = ", less while a model sleeps" if sleeps else ""
    return f"{cost['gpus']} {gpus}, about {usd:,.0f} USD a month ({HOURS} hours){awake}{tail}."
