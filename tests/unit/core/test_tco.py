"""Total cost of ownership, and the roofline: laws that hold for any numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hybrid_operator.core.engine import catalog, gpus, throughput
from hybrid_operator.core.engine.memory import Serving
from hybrid_operator.core.engine.tco import Demand, Fleet, Prices, compare, gpus_for, request_usd
from hybrid_operator.core.engine.version import Version

DEMANDS = st.builds(
    Demand,
    requests_per_day=st.integers(1, 10**7),
    input_tokens=st.integers(1, 10_000),
    output_tokens=st.integers(1, 5_000),
)
FLEETS = st.builds(
    Fleet,
    gpu_hour_usd=st.integers(1, 2000).map(lambda cents: Decimal(cents) / 100),
    tokens_per_s=st.integers(10, 20_000),
    utilisation=st.sampled_from([0.3, 0.7, 1]),
    peak_factor=st.sampled_from([1, 2, 3.5]),
    min_gpus=st.integers(1, 4),
)
USD = st.integers(1, 10**6).map(lambda micros: Decimal(micros) / 10**6)


@given(DEMANDS, FLEETS, USD)
def test_doubling_a_price_doubles_the_cost(demand, fleet, usd):
    one = compare(demand, usd, fleet)
    two = compare(demand, usd * 2, replace(fleet, gpu_hour_usd=fleet.gpu_hour_usd * 2))
    assert two.api_usd == one.api_usd * 2
    assert two.local_usd == one.local_usd * 2


@given(DEMANDS, FLEETS, USD)
def test_the_gpus_can_serve_the_peak_and_one_less_cannot(demand, fleet, usd):
    found = compare(demand, usd, fleet)
    peak = demand.tokens * fleet.peak_factor
    assert found.capacity >= peak * (1 - 1e-6)
    if found.gpus > fleet.min_gpus:
        assert fleet.capacity(found.gpus - 1, demand.hours) < peak


@given(DEMANDS, FLEETS)
def test_a_faster_gpu_never_needs_more_of_them(demand, fleet):
    assert gpus_for(demand, replace(fleet, tokens_per_s=fleet.tokens_per_s * 2)) <= gpus_for(
        demand, fleet
    )


@given(DEMANDS, FLEETS, USD)
def test_at_the_break_even_both_ways_cost_the_same(demand, fleet, usd):
    even = compare(demand, usd, fleet).break_even_tokens
    if even is None:
        return
    at = replace(demand, requests_per_day=demand.requests_per_day * even / demand.tokens)
    found = compare(at, usd, fleet)
    assert found.gpus == fleet.min_gpus
    assert float(found.api_usd) == pytest.approx(float(found.local_usd), rel=1e-6)


def test_cached_tokens_cost_their_own_price():
    prices = Prices(Decimal(1), Decimal(4), Decimal("0.5"), 0.5)
    assert request_usd(Demand(1, 1000, 100), prices) == Decimal("0.00115")


LLAMA = catalog.find("llama-3.1-8b")
SERVING = Serving(context=2048, version=Version(0, 32))


@given(st.integers(1, 200))
def test_a_larger_batch_is_never_slower(batch):
    assert LLAMA is not None
    gpu = gpus.find("h100")
    assert gpu is not None
    one, more = (
        throughput.tokens_per_s(LLAMA.shape, gpu, SERVING, throughput.Traffic(500, 200, batch=each))
        for each in (batch, batch + 1)
    )
    assert one is not None
    assert more is not None
    assert more >= one


def test_what_a_cache_saves_is_not_computed_again():
    assert LLAMA is not None
    gpu = gpus.find("a100-80gb")
    assert gpu is not None
    none, half = (
        throughput.tokens_per_s(LLAMA.shape, gpu, SERVING, throughput.Traffic(1000, 300, share, 32))
        for share in (0, 0.5)
    )
    assert none is not None
    assert half is not None
    assert half > none


@pytest.mark.parametrize(
    "each",
    throughput.benchmarks(),
    ids=lambda b: f"{b.model}-{b.gpu}-{b.quantization}-{b.input}-{b.batch}",
)
def test_the_estimate_is_within_a_half_of_what_was_measured(each):
    ratio = throughput.ratio_of(each)
    assert ratio is not None
    assert 0.67 < ratio < 1.5


def test_more_is_held_out_than_was_used_to_set_the_estimate():
    held_out = sum(each.held_out for each in throughput.benchmarks())
    assert held_out > len(throughput.benchmarks()) - held_out


def test_a_step_reads_only_the_experts_that_its_tokens_hit():
    known = catalog.find("qwen3-coder-30b-a3b")
    gpu = gpus.find("a100-80gb")
    assert known is not None
    assert gpu is not None
    one, many = (
        throughput.tokens_per_s(known.shape, gpu, SERVING, throughput.Traffic(40, 128, batch=size))
        for size in (1, 64)
    )
    assert one is not None
    assert many is not None
    assert one * 64 > many > one * 5


def test_nothing_is_estimated_for_a_gpu_of_unknown_bandwidth():
    assert LLAMA is not None
    gpu = gpus.GPU(name="x", memory_mib=80_000)
    assert throughput.tokens_per_s(LLAMA.shape, gpu, SERVING, throughput.Traffic(9, 9)) is None


def test_what_does_not_fit_has_no_rate():
    assert LLAMA is not None
    gpu = gpus.find("t4")
    assert gpu is not None
    assert throughput.tokens_per_s(LLAMA.shape, gpu, SERVING, throughput.Traffic(900, 99)) is None
