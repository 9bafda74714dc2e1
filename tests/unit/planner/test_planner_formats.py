"""Formats that checkpoints are written in, as their config.json says, and what they take where."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hybrid_operator.core.engine import catalog, gpus
from hybrid_operator.core.engine.architecture import Shape
from hybrid_operator.core.engine.formats import FORMATS, written
from hybrid_operator.core.engine.matrices import parameters
from hybrid_operator.core.engine.memory import Serving, plan_memory
from hybrid_operator.core.engine.version import Version

NOW = Version(0, 32)
GIB = 2**30


def group(**weights):
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": weights}},
    }


@pytest.mark.parametrize(
    ("config", "name", "bits"),
    [
        pytest.param({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", 4.156, id="AWQ"),
        pytest.param(
            {"quant_method": "awq", "bits": 4, "group_size": 64},
            "awq",
            4.3125,
            id="AWQ, small groups",
        ),
        pytest.param(
            {"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq", 4.125, id="GPTQ"
        ),
        pytest.param(
            {"quant_method": "gptq", "bits": 8, "group_size": 128}, "gptq", 8.125, id="GPTQ, 8 bit"
        ),
        pytest.param(
            {"quant_method": "gptq", "bits": 4, "group_size": -1}, "gptq", 4, id="GPTQ, whole rows"
        ),
        pytest.param({"quant_method": "fp8"}, "fp8", 8, id="FP8"),
        pytest.param(
            {"quant_method": "fp8", "weight_block_size": [128, 128]},
            "fp8",
            8.002,
            id="FP8 in blocks",
        ),
        pytest.param({"quant_method": "mxfp4"}, "mxfp4", 4.25, id="MXFP4"),
        pytest.param({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 4.5, id="NVFP4"),
        pytest.param(
            group(num_bits=4, type="int", strategy="group", group_size=128),
            "gptq",
            4.125,
            id="compressed-tensors, 4 bit in groups",
        ),
        pytest.param(
            group(num_bits=8, type="float", strategy="channel"), "fp8", 8, id="FP8 by rows"
        ),
        pytest.param(group(num_bits=8, type="int", strategy="channel"), "int8", 8, id="INT8"),
        pytest.param(group(num_bits=4, type="float", group_size=16), "nvfp4", 4.5, id="its NVFP4"),
        pytest.param({"quant_method": "aqlm"}, "aqlm", 0, id="one that is not planned for"),
    ],
)
def test_a_checkpoint_says_what_it_was_written_in(config, name, bits):
    form = written(config)
    assert form is not None
    assert form.name == name
    assert form.bits == pytest.approx(bits, abs=0.001)


def planned(shape: Shape, card: str, **asked):
    gpu = gpus.find(card)
    assert gpu is not None
    return plan_memory(shape, gpu, replace(Serving(4096, NOW), **asked))


def named(name: str) -> Shape:
    model = catalog.find(name)
    assert model is not None
    return model.shape


def test_what_is_not_planned_for_is_refused_by_its_name():
    shape = replace(named("llama-3-8b"), checkpoint=written({"quant_method": "aqlm"}))
    (why,) = planned(shape, "a10g").refusals
    assert why == "the checkpoint is quantized as aqlm, which is not planned for"


def test_a_checkpoint_is_not_loaded_as_another_format():
    shape = replace(named("llama-3-8b"), checkpoint=FORMATS["awq"])
    (why,) = planned(shape, "a10g", quantization="fp8").refusals
    assert why == "the checkpoint is written in awq, and vLLM does not load it as fp8"


def test_eight_bits_take_twice_what_four_take():
    shape = named("llama-3-8b")
    four, eight = (
        planned(replace(shape, checkpoint=written({"quant_method": "gptq", "bits": bits})), "a10g")
        for bits in (4, 8)
    )
    assert eight.weights - four.weights > 3 * GIB


@pytest.mark.parametrize(
    ("card", "gib"),
    [
        pytest.param("a100-80gb", 13.67, id="padded, as vLLM prints 13.72"),
        pytest.param("h100", 12.82, id="unpadded on Hopper"),
    ],
)
def test_experts_in_mxfp4_take_what_the_gpus_kernels_pad_them_to(card, gib):
    assert planned(named("gpt-oss-20b"), card).weights == pytest.approx(gib * GIB, rel=0.002)


def test_experts_in_mxfp4_are_shared_out_over_gpus_that_their_groups_do_not_divide():
    assert planned(named("gpt-oss-20b"), "h100", gpus=8).fits is True


def test_the_published_size_of_gpt_oss_is_counted():
    assert parameters(named("gpt-oss-20b")) == pytest.approx(20.9e9, rel=0.005)


def test_slots_for_adapters_take_memory_by_their_number_and_rank():
    shape = named("llama-3.1-8b")
    none, one, four = (planned(shape, "l4", loras=count).loras for count in (0, 1, 4))
    assert none == 0
    assert four == 4 * one
    assert planned(shape, "l4", loras=1, lora_rank=32).loras == 2 * one
