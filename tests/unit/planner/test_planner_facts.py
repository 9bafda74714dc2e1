"""What is known of models and GPUs, and what cannot run on them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hybrid_operator.core.engine import catalog, gpus, huggingface, kv
from hybrid_operator.core.engine.advice import advice
from hybrid_operator.core.engine.architecture import Shape
from hybrid_operator.core.engine.fields import ConfigError
from hybrid_operator.core.engine.formats import FORMATS
from hybrid_operator.core.engine.matrices import parameters
from hybrid_operator.core.engine.memory import Serving, plan_memory, weight_bytes
from hybrid_operator.core.engine.training import Training, plan_training
from hybrid_operator.core.engine.version import Version

NOW = Version(0, 32)
GB = 10**9
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def shape(name: str) -> Shape:
    model = catalog.find(name)
    assert model is not None
    return model.shape


def gpu(name: str) -> gpus.GPU:
    found = gpus.find(name)
    assert found is not None
    return found


def plan(name: str, card: str, **asked):
    serving = replace(Serving(8192, NOW), **asked)
    return plan_memory(shape(name), gpu(card), serving)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("llama-3-8b", 8_030_261_248, id="Llama 3 8B"),
        pytest.param("llama-3.3-70b", 70_553_706_496, id="Llama 3.3 70B"),
        pytest.param("llama-4-scout", 108_641_793_536, id="Llama 4 Scout with its encoder"),
        pytest.param("phi-4", 14_659_507_200, id="Phi-4"),
        pytest.param("phi-4-mini", 3_836_021_760, id="Phi-4-mini, whose head is its embedding"),
        pytest.param("qwen2.5-coder-7b", 7_615_616_512, id="Qwen2.5-Coder 7B, with biases"),
        pytest.param("qwen2.5-coder-14b", 14_770_033_664, id="Qwen2.5-Coder 14B"),
        pytest.param("qwen3-8b", 8_190_735_360, id="Qwen3 8B, with norms on queries and keys"),
        pytest.param("qwen3-coder-30b-a3b", 30_532_122_624, id="Qwen3-Coder, 128 experts"),
        pytest.param("qwen3.5-9b", 9_409_813_744, id="Qwen3.5 9B, linear attention, an encoder"),
        pytest.param("gemma-2-9b", 9_241_705_984, id="Gemma 2 9B, four norms a layer"),
        pytest.param("gemma-3-4b", 4_300_079_472, id="Gemma 3 4B with its encoder"),
        pytest.param("mistral-7b", 7_248_023_552, id="Mistral 7B"),
    ],
)
def test_parameters_are_counted_exactly(name, count):
    assert parameters(shape(name)) == count


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        pytest.param("phi-4", 200, id="10 heads of 40 layers"),
        pytest.param("llama-3-8b", 128, id="grouped queries"),
        pytest.param("qwen2.5-coder-7b", 56, id="4 heads"),
        pytest.param("gemma-3-4b", 136, id="sliding windows count while they hold the token"),
        pytest.param("qwen3.5-9b", 32, id="linear layers keep no tokens"),
        pytest.param("gemma-4-e2b", 18, id="20 of 35 layers share keys and values"),
    ],
)
def test_a_token_takes_so_much_of_the_kv_cache(name, kib):
    assert kv.bytes_per_token(shape(name), 1, 2) == kib * 1024


def test_tensor_parallelism_copies_heads_that_it_cannot_divide():
    few = shape("qwen2.5-coder-7b")
    assert kv.bytes_per_token(few, 4, 2) == kv.bytes_per_token(few, 1, 2) // 4
    assert kv.bytes_per_token(few, 8, 2) == kv.bytes_per_token(few, 4, 2)


def test_a_token_of_latent_attention_is_one_vector_on_every_gpu():
    config = LLAMA | {
        "model_type": "deepseek_v2",
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
    }
    read = huggingface.shape(config)
    assert kv.bytes_per_token(read, 1, 2) == 32 * (512 + 64) * 2
    assert kv.bytes_per_token(read, 8, 2) == kv.bytes_per_token(read, 1, 2)


@pytest.mark.parametrize(
    ("name", "card", "asked", "why"),
    [
        pytest.param("phi-4", "l4", {"gpus": 4}, "10 KV heads", id="ten heads on four GPUs"),
        pytest.param("gemma-2-2b", "t4", {}, "no bfloat16", id="Gemma on a GPU without bfloat16"),
        pytest.param(
            "llama-3-8b",
            "t4",
            {"quantization": "fp8", "version": Version(0, 13)},
            "compute capability 8.0",
            id="FP8 on a T4 before 0.14",
        ),
        pytest.param(
            "llama-3-8b", "a10g", {"quantization": "mxfp4"}, "experts", id="MXFP4 without experts"
        ),
        pytest.param(
            "llama-3-8b",
            "a10g",
            {"quantization": "bitsandbytes"},
            "left vLLM with 0.28.0",
            id="bitsandbytes after it left",
        ),
        pytest.param("llama-3-8b", "a10g", {"context": 8193}, "8192", id="more than trained for"),
        pytest.param(
            "gemma-4-12b", "h100", {"version": Version(0, 12)}, "came with", id="before its release"
        ),
        pytest.param("llama-3-8b", "t4", {"kv_cache_dtype": "fp8"}, "FP8 KV", id="FP8 cache on T4"),
        pytest.param("qwen3-8b", "h100", {"gpus": 3}, "attention heads", id="three GPUs"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(name, card, asked, why):
    refused = plan(name, card, **asked)
    assert refused.fits is False
    assert why in "; ".join(refused.refusals)


@pytest.mark.parametrize(
    ("name", "card", "asked", "fits"),
    [
        pytest.param("llama-3-8b", "a10g", {}, True, id="8B in 16 bit on 24 GB"),
        pytest.param("llama-3-8b", "t4", {}, False, id="8B in 16 bit on 16 GB: the T4 trap"),
        pytest.param("llama-3-8b", "t4", {"quantization": "awq"}, True, id="8B in 4 bit on a T4"),
        pytest.param("qwen2.5-coder-14b", "a10g", {}, False, id="14B in 16 bit on 24 GB"),
        pytest.param(
            "qwen2.5-coder-14b", "a10g", {"quantization": "awq"}, True, id="14B in 4 bit on 24 GB"
        ),
        pytest.param(
            "qwen2.5-coder-14b",
            "a10g",
            {"quantization": "awq", "concurrency": 16},
            False,
            id="16 requests of 8192 tokens beside it",
        ),
        pytest.param("llama-3.3-70b", "h100", {"gpus": 4}, True, id="70B on four H100"),
        pytest.param("llama-3.3-70b", "h100", {"gpus": 2}, "borderline", id="70B on two H100"),
    ],
)
def test_so_it_fits(name, card, asked, fits):
    assert plan(name, card, **asked).fits == fits


def test_utilisation_is_a_share_of_what_cuda_reports_by_the_release():
    old, new = (plan("llama-3-8b", "h100", version=Version(0, each)) for each in (19, 20))
    assert old.total < old.listed
    assert old.usable == pytest.approx(0.90 * old.total, abs=1)
    assert new.usable == pytest.approx(0.92 * new.total, abs=1)


def test_windows_save_nothing_while_two_batches_are_in_flight():
    none, one, two = (
        plan("gemma-3-4b", "h100", version=Version(0, each), context=16384).request
        for each in (9, 25, 26)
    )
    assert one < none
    assert two >= none


def test_advice_begins_with_what_costs_nothing_and_ends_with_what_costs_most():
    serving = Serving(8192, NOW, quantization="awq", concurrency=16)
    changes = advice(shape("qwen2.5-coder-14b"), gpu("a10g"), serving, gpus.catalogue())
    assert [change.what[0] for change in changes] == ["context", "concurrency", "gpus", "gpu"]


def test_a_format_that_cannot_be_had_gives_way_to_the_most_exact_that_fits():
    serving = Serving(8192, NOW, quantization="bitsandbytes")
    first, *_ = advice(shape("llama-3-8b"), gpu("a10g"), serving, gpus.catalogue())
    assert first.text == "16-bit weights"


def test_the_articles_training_of_eight_billion_parameters():
    full = plan_training(shape("llama-3-8b"), Training("full", gpus=8, sharding="fsdp"))
    assert full.weights == pytest.approx(16 * GB, rel=0.01)
    assert full.gradients == pytest.approx(16 * GB, rel=0.01)
    assert full.optimizer == pytest.approx(64 * GB, rel=0.01)
    assert full.total >= 160 * GB
    lora = plan_training(shape("llama-3-8b"), Training("lora"))
    assert lora.total == pytest.approx(24 * GB, rel=0.05)
    qlora = plan_training(shape("llama-3-8b"), Training("qlora"))
    assert 12 * GB <= qlora.total <= 16 * GB


def test_a_resource_says_the_shape_of_a_model_that_no_catalogue_has():
    stated = Shape("", 0, 0, tied=False, layers=(), max_length=8192, stated_parameters=8 * GB)
    assert parameters(stated) == 8 * GB
    assert weight_bytes(stated, FORMATS["none"]) == 16 * GB
    assert 4 * GB < weight_bytes(stated, FORMATS["awq"]) < 8 * GB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"model_type": None}, "has no model_type", id="not the config of a model"),
        pytest.param({"model_type": "bert"}, "model_type bert is not known", id="another kind"),
        pytest.param({"hidden_size": None}, "has no hidden_size", id="a field is missing"),
        pytest.param({"vocab_size": 0}, "vocab_size is 0", id="a zero"),
        pytest.param({"num_hidden_layers": -2}, "must be a positive whole number", id="negative"),
        pytest.param({"layer_types": ["full_attention"]}, "1 entries for 32", id="too few layers"),
    ],
)
def test_a_config_that_cannot_be_planned_says_what_is_wrong(change, message):
    with pytest.raises(ConfigError, match=message):
        huggingface.shape(LLAMA | change)


def test_a_quantized_checkpoint_is_planned_as_it_was_written():
    read = huggingface.shape(LLAMA | {"quantization_config": {"quant_method": "awq"}})
    serving = Serving(8192, NOW)
    planned = plan_memory(read, gpu("a10g"), serving)
    assert planned.weights == weight_bytes(read, FORMATS["awq"])


@pytest.mark.parametrize("card", [pytest.param(each, id=each.name) for each in gpus.catalogue()])
def test_cuda_reports_less_than_nvidia_smi_lists(card):
    assert 0.95 * card.memory_mib < card.cuda_mib < card.memory_mib
    assert card.source.startswith("https://")
    assert card.price_source


@pytest.mark.parametrize("model", [pytest.param(m, id=m.name) for m in catalog.catalogue()])
def test_every_model_has_a_source_a_licence_and_a_name_of_its_own(model):
    assert model.source.startswith("https://huggingface.co/")
    assert model.licence
    assert [each.name for each in catalog.catalogue()].count(model.name) == 1


def test_one_row_is_read_as_it_is_read_among_all():
    assert [catalog.find(each.name) for each in catalog.catalogue()] == [*catalog.catalogue()]
    assert [gpus.find(each.name) for each in gpus.catalogue()] == [*gpus.catalogue()]


def test_tasks_rank_models_of_the_catalogue_and_apis():
    for task in catalog.tasks():
        percents = [score.percent for score in task.ranking]
        assert percents == sorted(percents, reverse=True)
        assert all(score.api or catalog.find(score.model) for score in task.ranking)
