"""Models that keep a state beside the KV cache, or instead of it."""

from __future__ import annotations

import pytest

from hybrid_operator.core.engine import gpus, huggingface, kv
from hybrid_operator.core.engine.fields import ConfigError
from hybrid_operator.core.engine.matrices import parameters
from hybrid_operator.core.engine.memory import Serving, plan_memory
from hybrid_operator.core.engine.version import Version
from tests.accuracy import grid

NOW = Version(0, 32)
NEMOTRON = {
    "model_type": "nemotron_h",
    "hidden_size": 4096,
    "intermediate_size": 21504,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 131072,
    "max_position_embeddings": 8192,
    "hybrid_override_pattern": "M-*-",
}


def test_the_published_size_of_nemotron_h_is_counted():
    assert parameters(grid.shape("nemotron-h-8b")) == pytest.approx(8.1e9, rel=0.005)


@pytest.mark.parametrize(
    ("name", "layers", "mebibytes"),
    [
        # 128 heads of 64 elements with a state of 128, in 32 bits, and the convolution's tokens.
        pytest.param("nemotron-h-8b", 24, 4.058, id="Nemotron-H: 4.06 MiB a layer"),
        pytest.param("jamba-mini-like", 28, 0.297, id="Jamba: small states of the first Mamba"),
        pytest.param("qwen3-next-like", 36, 1.047, id="Qwen3-Next: linear attention"),
    ],
)
def test_a_state_takes_so_much_whatever_the_length(name, layers, mebibytes):
    state = kv.state_bytes(grid.shape(name), 1)
    assert state / 2**20 / layers == pytest.approx(mebibytes, abs=0.001)


def test_layers_that_are_feed_forward_alone_keep_nothing():
    read = huggingface.shape(NEMOTRON)
    assert read.layer_count == 4
    assert kv.bytes_per_token(read, 1, 2) == 2 * 8 * 128 * 2


def test_a_request_of_a_hybrid_grows_with_its_attention_layers_only():
    hybrid, plain = grid.shape("nemotron-h-8b"), grid.shape("llama-3-8b")
    assert kv.bytes_per_token(hybrid, 1, 2) == kv.bytes_per_token(plain, 1, 2) // 8


@pytest.mark.parametrize(
    ("count", "why"),
    [
        pytest.param(3, "128 heads of Mamba cannot be shared out over 3 GPUs", id="heads"),
        pytest.param(16, "8 groups of Mamba cannot be shared out over 16 GPUs", id="groups"),
    ],
)
def test_states_that_do_not_divide_are_refused(count, why):
    gpu = gpus.find("h100")
    assert gpu is not None
    found = plan_memory(huggingface.shape(NEMOTRON), gpu, Serving(4096, NOW, gpus=count))
    assert why in found.refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"model_type": "zamba2"}, "zamba2 is a state space model of a kind", id="kind"
        ),
        pytest.param({"hybrid_override_pattern": None}, "says what each layer is", id="no pattern"),
        pytest.param({"hybrid_override_pattern": "M?"}, "'[?]', which no layer is", id="a letter"),
        pytest.param({"mamba_num_heads": -1}, "mamba_num_heads is -1", id="a negative number"),
    ],
)
def test_a_hybrid_that_cannot_be_read_says_why(change, message):
    with pytest.raises(ConfigError, match=message):
        huggingface.shape(NEMOTRON | change)
