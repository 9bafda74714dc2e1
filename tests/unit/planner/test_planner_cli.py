"""`hinf vram`, `inspect`, `models` and `gpus`, as a person or a script uses them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli
from hybrid_operator.cli.output import WIDTH

CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def hinf(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="hinf")


def test_what_fits_exits_zero_with_every_field():
    result = hinf("vram", "llama-3-8b", "--gpu", "a10g", "-o", "json")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert document["fits"] is True
    assert document["weights_gib"] == 14.958
    assert document["kv_bytes_per_token"] == 131072
    assert document["kv_request_gib"] == 1.0
    assert document["advice"] == []
    assert {
        "overhead_gib",
        "kv_room_gib",
        "gpu_memory_gib",
        "cuda_memory_gib",
        "kv_tokens",
        "max_concurrent_sequences",
    } <= set(document)


def test_what_does_not_fit_exits_one_with_advice():
    args = ("--gpu", "a10g", "--quantization", "awq", "--context", "8192", "--concurrency", "16")
    result = hinf("vram", "qwen2.5-coder-14b", *args, "-o", "json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["fits"] is False
    assert "a context of 2304 tokens instead of 8192" in document["advice"]


def test_what_cannot_run_exits_one_with_the_reason():
    result = hinf("vram", "phi-4", "--gpu", "l4", "--tensor-parallel", "4")
    assert result.exit_code == 1
    assert "10 KV heads cannot be shared out over 4 GPUs" in result.output


@pytest.mark.parametrize(
    ("method", "least", "most"),
    [
        pytest.param("full", 160, 200, id="full: at least the article's 160 GB"),
        pytest.param("lora", 22, 26, id="LoRA: about 24 GB"),
        pytest.param("qlora", 12, 16, id="QLoRA: 12 to 16 GB"),
    ],
)
def test_training_says_its_total_and_what_it_assumes(method, least, most):
    result = hinf("vram", "llama-3-8b", "--train", method, "-o", "json")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert least <= document["total_gb"] <= most
    parts = ("weights_gb", "gradients_gb", "optimizer_gb", "activations_gb")
    assert sum(document[part] for part in parts) == pytest.approx(document["total_gb"], abs=0.05)
    assert document["assumptions"]


def test_training_that_a_gpu_does_not_hold_exits_one():
    assert hinf("vram", "llama-3-8b", "--train", "lora", "--gpu", "t4").exit_code == 1
    assert hinf("vram", "llama-3-8b", "--train", "qlora", "--gpu", "t4").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(("lama-3-8b", "--gpu", "a10g"), "did you mean llama-3-8b", id="model"),
        pytest.param(("llama-3-8b", "--gpu", "a1g"), "did you mean a10g", id="GPU"),
        pytest.param(
            ("llama-3-8b", "--gpu", "a100"), "did you mean a100-40gb or a100-80gb", id="half a name"
        ),
        pytest.param(("llama-3-8b",), "--gpu is missing", id="no GPU"),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--weight-offload", "2"), "say the unit", id="no unit"
        ),
        pytest.param(("llama-3-8b", "--gpu", "24"), "say the unit", id="a size without unit"),
        pytest.param(("llama-3-8b", "--gpu", "0GiB"), "above 0", id="no memory"),
        pytest.param(("llama-3-8b", "--gpu", "a10g", "--context", "0"), "0", id="no context"),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--context", "8k"),
            "8k must be a whole number of at least 1, without a unit",
            id="a context in thousands",
        ),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--concurrency", "-1"), "-1", id="fewer than none"
        ),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--gpu-memory-utilization", "1.2"),
            "at most 1",
            id="more than the GPU",
        ),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--gpu-memory-utilization", "nan"),
            "above 0",
            id="no number",
        ),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--vllm", "newest"), "not a vLLM release", id="release"
        ),
        pytest.param(("llama-3-8b", "--gpu", "a10g", "--vllm", "0.6"), "0.8.0 on", id="too old"),
        pytest.param(
            ("llama-3-8b", "--gpu", "a10g", "--quantization", "int3"), "there are none", id="format"
        ),
        pytest.param(
            ("llama-3-8b", "--train", "full", "--sequence", "9000"), "longer than", id="sequence"
        ),
        pytest.param(("./nowhere", "--gpu", "a10g"), "No such file", id="no such file"),
    ],
)
def test_bad_input_exits_two_and_says_what_to_do(args, message):
    result = hinf("vram", *args)
    assert result.exit_code == 2
    assert message in result.output


def test_gb_and_gib_are_told_apart():
    gib, gb = (
        json.loads(hinf("vram", "phi-4-mini", "--gpu", size, "-o", "json").output)
        for size in ("24GiB", "24GB")
    )
    assert gib["gpu_memory_gib"] == 24.0
    assert gb["gpu_memory_gib"] == pytest.approx(22.35, abs=0.01)


def test_a_config_is_read_from_its_file_or_its_directory(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    for path in (str(file), str(tmp_path)):
        document = json.loads(hinf("inspect", path, "-o", "json").output)
        assert document["parameters"] == 8_030_261_248
        assert document["kv_heads"] == 8
        assert hinf("vram", path, "--gpu", "a10g").exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is not JSON", id="no JSON"),
        pytest.param("[]", "is not a JSON object", id="a list"),
        pytest.param("{}", "has no model_type", id="an empty object"),
        pytest.param('{"model_type": "llama"}', "has no hidden_size", id="no sizes"),
    ],
)
def test_a_config_without_the_fields_says_so(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_text(text)
    result = hinf("inspect", str(file))
    assert result.exit_code == 2
    assert message in result.output


def test_models_are_ranked_by_task():
    document = json.loads(hinf("models", "--task", "sql", "-o", "json").output)
    ranked = [(row["model"], row["percent"]) for row in document["ranking"]]
    assert ranked[0] == ("gpt-4o", 91)
    assert ranked[1] == ("llama-3-8b", 89)
    assert document["ranking"][1]["fine_tuned"]
    assert hinf("models", "--task", "poetry").exit_code == 2


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("vram", "gemma-4-e4b", "--gpu", "l4"), id="vram"),
        pytest.param(("vram", "llama-3-8b", "--train", "full"), id="training"),
        pytest.param(("vram", "phi-4", "--gpu", "t4", "--tensor-parallel", "4"), id="refused"),
        pytest.param(("models", "--task", "json"), id="task"),
        pytest.param(("models",), id="models"),
        pytest.param(("inspect", "qwen3.5-9b"), id="inspect"),
    ],
)
def test_a_table_fits_the_terminal(args):
    assert max(map(len, hinf(*args).output.splitlines())) <= WIDTH
