"""Laws that memory keeps, whatever the model."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hybrid_operator.core.engine import catalog, gpus, kv, matrices, training
from hybrid_operator.core.engine.advice import advice
from hybrid_operator.core.engine.formats import FORMATS
from hybrid_operator.core.engine.memory import Serving, plan_memory, weight_bytes
from hybrid_operator.core.engine.version import Version

NAMES = [model.name for model in catalog.catalogue()]
RELEASES = st.builds(Version, st.just(0), st.integers(8, 33))
SHAPES = st.sampled_from([model.shape for model in catalog.catalogue()])
CARDS = st.sampled_from(gpus.catalogue())
SERVINGS = st.builds(
    Serving,
    context=st.integers(1, 200_000),
    version=RELEASES,
    quantization=st.sampled_from(["none", "fp8", "awq", "gptq"]),
    concurrency=st.integers(1, 512),
    gpus=st.sampled_from([1, 2, 4, 8]),
    kv_cache_dtype=st.sampled_from(["auto", "fp8"]),
    utilization=st.sampled_from([None, Fraction(1, 2), Fraction(95, 100)]),
)
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(SHAPES, CARDS, SERVINGS)
def test_what_fits_fits_with_less_context(shape, gpu, serving):
    if plan_memory(shape, gpu, serving).fits is True:
        shorter = replace(serving, context=max(serving.context // 2, 1))
        assert plan_memory(shape, gpu, shorter).fits is True


@FEW
@given(SHAPES, CARDS, SERVINGS)
def test_what_fits_fits_with_fewer_requests(shape, gpu, serving):
    if plan_memory(shape, gpu, serving).fits is True:
        fewer = replace(serving, concurrency=max(serving.concurrency // 2, 1))
        assert plan_memory(shape, gpu, fewer).fits is True


@FEW
@given(SHAPES, CARDS, SERVINGS)
def test_a_larger_share_of_the_gpu_never_holds_less(shape, gpu, serving):
    less = plan_memory(shape, gpu, replace(serving, utilization=Fraction(4, 5)))
    more = plan_memory(shape, gpu, replace(serving, utilization=Fraction(9, 10)))
    assert more.sequences.low >= less.sequences.low


@FEW
@given(SHAPES, CARDS, SERVINGS)
def test_least_usual_and_most_come_in_this_order(shape, gpu, serving):
    plan = plan_memory(shape, gpu, serving)
    for sizes in (plan.room, plan.overhead, plan.sequences):
        assert sizes.low <= sizes.central <= sizes.high


@FEW
@given(SHAPES, st.sampled_from([1, 2, 4]), st.integers(1, 100_000), RELEASES)
def test_a_request_grows_with_its_context(shape, count, context, release):
    pool = kv.pool(shape, count, 2, kv.Schedule(2048, 256, release))
    assert pool.request_bytes(context) <= pool.request_bytes(context + 1)


@FEW
@given(SHAPES, st.integers(1, 100_000), RELEASES)
def test_a_request_grows_with_the_bits_of_its_cache(shape, context, release):
    schedule = kv.Schedule(2048, 256, release)
    narrow, wide = (kv.pool(shape, 1, size, schedule) for size in (1, 2))
    assert narrow.request_bytes(context) <= wide.request_bytes(context)


@FEW
@given(SHAPES)
def test_weights_grow_with_their_bits(shape):
    sizes = [
        weight_bytes(shape, FORMATS[name])
        for name in ("gptq", "awq", "bitsandbytes", "fp8", "none")
    ]
    assert sizes == sorted(sizes)


@FEW
@given(SHAPES, st.sampled_from(["none", "fp8", "awq"]))
def test_gpus_together_hold_at_least_the_whole_model(shape, name):
    assert 2 * weight_bytes(shape, FORMATS[name], 2) >= weight_bytes(shape, FORMATS[name], 1) * 0.99


@FEW
@given(SHAPES, CARDS, SERVINGS)
def test_every_change_that_is_advised_makes_it_fit(shape, gpu, serving):
    for change in advice(shape, gpu, serving, gpus.catalogue()):
        assert plan_memory(shape, change.gpu, change.serving).fits is True


@FEW
@given(SHAPES, st.integers(1, 8), st.integers(1, 4096), st.booleans())
def test_training_grows_with_batch_sequence_and_method(shape, batch, sequence, checkpointing):
    def total(method, batch=batch, sequence=sequence):
        plan = training.plan_training(
            shape,
            training.Training(method, batch, sequence, checkpointing=checkpointing),
        )
        return plan.total

    assert total("qlora") <= total("lora") <= total("full")
    assert total("full") <= total("full", batch=batch + 1)
    assert total("full") <= total("full", sequence=sequence + 1)


@FEW
@given(SHAPES, st.integers(1, 8))
def test_sharding_more_never_takes_more(shape, count):
    stages: list[training.Sharding] = ["none", "zero1", "zero2"]
    sizes = [
        training.plan_training(shape, training.Training("full", gpus=count, sharding=stage)).total
        for stage in stages
    ]
    assert sizes == sorted(sizes, reverse=True)


@FEW
@given(SHAPES, st.integers(1, 256))
def test_adapters_grow_with_their_rank(shape, rank):
    assert matrices.adapter_elements(shape, rank) < matrices.adapter_elements(shape, rank + 1)
