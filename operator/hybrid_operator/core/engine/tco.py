"""Total cost of ownership: an external API against GPUs of one's own, for the same tokens.

Money is in USD, a month is as many hours as the caller says: 720 (30 days) or 730 (a twelfth of a
year) change every figure by 1.4 %.
"""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
from msgspec.structs import replace

MILLION = 1_000_000
SECONDS = 3600
HOURS_PER_DAY = 24


class Demand(msgspec.Struct, frozen=True):
    """What is asked in a month."""

    requests_per_day: float
    input_tokens: int
    output_tokens: int
    hours: float = 720
    """Hours of a month."""

    @property
    def requests(self) -> float:
        """Requests in a month."""
        return self.requests_per_day * self.hours / HOURS_PER_DAY

    @property
    def tokens(self) -> float:
        """Input and output tokens in a month."""
        return self.requests * (self.input_tokens + self.output_tokens)

    @property
    def tokens_per_s(self) -> float:
        """The same, on average per second."""
        return self.tokens / (self.hours * SECONDS)


class Fleet(msgspec.Struct, frozen=True):
    """GPUs that serve it."""

    gpu_hour_usd: Decimal
    tokens_per_s: float
    """Input and output tokens per second of one busy GPU, at this mix."""
    utilisation: float = 1
    """Share of that which can be used over a month: above 0, at most 1."""
    peak_factor: float = 1
    """Demand of the busiest time that must be served, over the average."""
    min_gpus: int = 1

    def capacity(self, gpus: int, hours: float) -> float:
        """Return the tokens that `gpus` GPUs serve in a month of `hours`."""
        return gpus * self.tokens_per_s * self.utilisation * SECONDS * hours


class Comparison(msgspec.Struct, frozen=True):
    """Both ways for one month."""

    api_usd: Decimal
    local_usd: Decimal
    gpus: int
    tokens: float
    capacity: float
    """Tokens that the GPUs serve in a month."""
    break_even_tokens: float | None
    """Tokens a month, at the same mix, from which on GPUs cost no more; None: they never do."""

    @property
    def local_wins(self) -> bool:
        """Whether GPUs of one's own cost less."""
        return self.local_usd < self.api_usd

    @property
    def api_usd_per_million(self) -> Decimal:
        """USD for a million tokens of this mix."""
        return _per_million(self.api_usd, self.tokens)

    @property
    def local_usd_per_million(self) -> Decimal:
        """The same on the GPUs, idle time included."""
        return _per_million(self.local_usd, self.tokens)


def request_usd(demand: Demand, prices: Prices) -> Decimal:
    """Return what one request costs at prices per million tokens."""
    cached = Decimal(str(prices.cached_share)) * demand.input_tokens
    fresh = demand.input_tokens - cached
    low = prices.cached if prices.cached is not None else prices.input
    total = fresh * prices.input + cached * low + demand.output_tokens * prices.output
    return total / MILLION


class Prices(msgspec.Struct, frozen=True):
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    """Of input tokens that the provider has cached; None: no reduction."""
    cached_share: float = 0
    """Share of input tokens that are cached."""


def compare(demand: Demand, usd_per_request: Decimal, fleet: Fleet) -> Comparison:
    """Compare a month of `demand` on the API and on GPUs.

    Raises:
        ValueError: a number is out of range; the message names it.
    """
    _check(demand, usd_per_request, fleet)
    gpus = max(fleet.min_gpus, gpus_for(demand, fleet))
    return Comparison(
        api_usd=usd_per_request * Decimal(str(demand.requests)),
        local_usd=_lease(gpus, demand, fleet),
        gpus=gpus,
        tokens=demand.tokens,
        capacity=fleet.capacity(gpus, demand.hours),
        break_even_tokens=break_even(demand, usd_per_request, fleet),
    )


def gpus_for(demand: Demand, fleet: Fleet) -> int:
    """Return the least GPUs that serve the peak."""
    share = demand.tokens_per_s * fleet.peak_factor / (fleet.tokens_per_s * fleet.utilisation)
    # Rounded, because 3.0000000001 GPUs are three.
    return max(1, math.ceil(round(share, 9)))


def needed_tokens_per_s(demand: Demand, fleet: Fleet, gpus: int) -> float:
    """Return the tokens per second with which each of `gpus` GPUs would serve the demand."""
    return demand.tokens_per_s * fleet.peak_factor / fleet.utilisation / gpus


def break_even(demand: Demand, usd_per_request: Decimal, fleet: Fleet) -> float | None:
    """Return from how many tokens a month on GPUs cost no more; None where they never do.

    Beyond the smallest fleet every further GPU brings its cost and its capacity. So either a full
    GPU is cheaper than the API, and the smallest fleet breaks even within its capacity, or no
    fleet ever does.
    """
    per_token = float(usd_per_request) / (demand.input_tokens + demand.output_tokens)
    if per_token <= 0:
        return None
    smallest = max(fleet.min_gpus, 1)
    tokens = float(_lease(smallest, demand, fleet)) / per_token
    served = fleet.capacity(smallest, demand.hours) / fleet.peak_factor
    return tokens if tokens <= served else None


def curve(
    demand: Demand, usd_per_request: Decimal, fleet: Fleet, points: int = 60
) -> list[tuple[float, float, float]]:
    """Return (tokens a month, API in USD, GPUs in USD), from none to 1.5 times the demand."""
    found = []
    for step in range(points + 1):
        share = 1.5 * step / points
        at = replace(demand, requests_per_day=demand.requests_per_day * share)
        gpus = max(fleet.min_gpus, gpus_for(at, fleet))
        api = float(usd_per_request) * at.requests
        found.append((at.tokens, api, float(_lease(gpus, demand, fleet))))
    return found


def _lease(gpus: int, demand: Demand, fleet: Fleet) -> Decimal:
    return gpus * fleet.gpu_hour_usd * Decimal(str(demand.hours))


def _per_million(usd: Decimal, tokens: float) -> Decimal:
    return usd * MILLION / Decimal(str(tokens))


def _check(demand: Demand, usd_per_request: Decimal, fleet: Fleet) -> None:
    positive = {
        "requests per day": demand.requests_per_day,
        "hours per month": demand.hours,
        "tokens per second": fleet.tokens_per_s,
        "GPUs": fleet.min_gpus,
        "tokens of a request": demand.input_tokens + demand.output_tokens,
    }
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: {value} must be a number above 0")
    if min(demand.input_tokens, demand.output_tokens) < 0:
        raise ValueError("input and output tokens must not be negative")
    if not 0 < fleet.utilisation <= 1:
        raise ValueError(f"utilisation: {fleet.utilisation} must be above 0 and at most 1")
    if not (math.isfinite(fleet.peak_factor) and fleet.peak_factor >= 1):
        raise ValueError(f"peak factor: {fleet.peak_factor} must be at least 1")
    if fleet.gpu_hour_usd < 0 or usd_per_request < 0:
        raise ValueError("prices must not be negative")
