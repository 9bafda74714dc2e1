"""What is intended becomes the arguments that the release in question has."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hybrid_operator.core.engine.arguments import Intent, WeightOffload, arguments, options, whole
from hybrid_operator.core.engine.version import Version, parse

BASE = Intent(model="org/model", served_names=("small",), version=Version(0, 32), gpus=1)
ALWAYS = ("org/model", "--served-model-name=small", "--host=0.0.0.0", "--port=8000")
PREFETCH = WeightOffload("2Gi", "prefetch", layers=32, layer_bytes=250_937_500)


def rendered(version: str = "0.32", **more) -> tuple[str, ...]:
    argv = arguments(replace(BASE, version=parse(version), **more)).argv
    assert argv[: len(ALWAYS)] == ALWAYS
    return argv[len(ALWAYS) :]


@pytest.mark.parametrize(
    ("version", "intent", "expected"),
    [
        pytest.param("0.32", {}, (), id="nothing that was not asked for"),
        pytest.param("0.32", {"gpus": 2}, ("--tensor-parallel-size=2",), id="two GPUs"),
        pytest.param("0.32", {"half": True}, ("--dtype=half",), id="a GPU without bfloat16"),
        pytest.param(
            "0.32",
            {"revision": "3f2a91c", "max_length": 8192},
            ("--revision=3f2a91c", "--max-model-len=8192"),
            id="a pinned model and its context",
        ),
        pytest.param(
            "0.32", {"quantization": "fp8"}, ("--quantization=fp8",), id="quantized on load"
        ),
        pytest.param(
            "0.32", {"quantization": "awq"}, (), id="a quantized checkpoint says so itself"
        ),
        pytest.param("0.32", {"quantization": "none"}, (), id="no quantization"),
        pytest.param(
            "0.32", {"kv_offload": "4Gi"}, ("--kv-offloading-size=4",), id="KV offload today"
        ),
        pytest.param(
            "0.12",
            {"kv_offload": "4Gi"},
            ("--kv-offloading-size=4", "--kv-offloading-backend=native"),
            id="KV offload while the backend had to be named",
        ),
        pytest.param(
            "0.11.0",
            {"kv_offload": "4Gi", "gpus": 2},
            ("--tensor-parallel-size=2", "--swap-space=2"),
            id="KV offload as swap space, which counts per GPU",
        ),
        pytest.param(
            "0.8.5",
            {"adapters": ("sql=/adapters/sql",), "adapter_rank": 32},
            (
                "--enable-lora",
                "--max-loras=1",
                "--max-lora-rank=32",
                "--lora-modules=sql=/adapters/sql",
                "--disable-log-requests",
            ),
            id="an adapter",
        ),
        pytest.param(
            "0.32",
            {
                "adapters": ("sql=/adapters/sql", "json=org/json"),
                "adapter_rank": 16,
                "args": ("--max-loras=1",),
            },
            (
                "--enable-lora",
                "--max-lora-rank=16",
                "--lora-modules",
                "sql=/adapters/sql",
                "json=org/json",
                "--max-loras=1",
            ),
            id="two adapters that share a slot",
        ),
        pytest.param(
            "0.32",
            {"weight_offload": WeightOffload("1536Mi", "uva")},
            ("--offload-backend=uva", "--cpu-offload-gb=1.5"),
            id="weights read in place",
        ),
        pytest.param(
            "0.16",
            {"weight_offload": WeightOffload("2Gi", "uva")},
            ("--cpu-offload-gb=2",),
            id="weights read in place before there was a choice",
        ),
        pytest.param(
            "0.32",
            {"weight_offload": PREFETCH},
            ("--offload-backend=prefetch", "--offload-group-size=9", "--offload-num-in-group=3"),
            id="nine layers of 32 that hold 2 GiB, spread over the model",
        ),
        pytest.param(
            "0.32",
            {"prefix_caching": True, "chunked_prefill": False},
            ("--enable-prefix-caching", "--no-enable-chunked-prefill"),
            id="switches on and off",
        ),
        pytest.param(
            "0.32", {"shutdown": 45}, ("--shutdown-timeout=45",), id="time to finish requests"
        ),
        pytest.param("0.17", {"shutdown": 45}, (), id="no time to finish before 0.18"),
        pytest.param("0.10.0", {}, ("--disable-log-requests",), id="prompts kept out of old logs"),
    ],
)
def test_an_intent_becomes_arguments_of_its_release(version, intent, expected):
    assert rendered(version, **intent) == expected


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("--max-model-len=4096",), id="with an equals sign"),
        pytest.param(("--max-model-len", "4096"), id="as two arguments"),
        pytest.param(("--max_model_len=4096",), id="with underscores, which vLLM reads as dashes"),
        pytest.param(("--max-num-seqs=8", "--max-model-len=4096"), id="after another one"),
    ],
)
def test_a_raw_argument_replaces_ours(args):
    assert rendered(max_length=8192, args=args) == args


def test_a_raw_argument_replaces_ours_in_the_opposite_form():
    args = ("--no-enable-prefix-caching",)
    assert rendered(prefix_caching=True, args=args) == args


def test_a_raw_short_form_replaces_ours():
    assert rendered(gpus=4, args=("-tp", "2")) == ("-tp", "2")


def test_a_value_or_an_abbreviation_replaces_nothing():
    args = ("--chat-template", "max-model-len", "--max-model=1")
    assert rendered(max_length=8192, args=args) == ("--max-model-len=8192", *args)


@pytest.mark.parametrize(
    ("version", "intent", "expected"),
    [
        pytest.param(
            "0.16",
            {"weight_offload": PREFETCH},
            "engine.weightOffload.backend: prefetch came with vLLM 0.17.0, this is 0.16.0; "
            "uva is used",
            id="a release without prefetch",
        ),
        pytest.param(
            "0.32",
            {"weight_offload": WeightOffload("2Gi", "prefetch")},
            "engine.weightOffload.backend: prefetch moves whole layers, and the model's layers are "
            "unknown: give architecture; uva is used",
            id="a model of unknown shape",
        ),
        pytest.param(
            "0.32",
            {"kv_offload": "4Gi", "gpus": 0},
            "engine.kvOffload: offloading moves data out of a GPU's memory; this model runs "
            "on the CPU",
            id="offloading without a GPU",
        ),
    ],
)
def test_what_cannot_be_done_is_said(version, intent, expected):
    found = arguments(replace(BASE, version=parse(version), **intent))
    assert [str(note) for note in found.notes] == [expected]


def test_options_are_read_from_raw_arguments():
    args = ("--a=1", "--b_c", "2", "-tp", "3", "--", "plain")
    assert options(args) == ["--a", "--b-c", "--tensor-parallel-size"]


@pytest.mark.parametrize("text", ["", "1", "0.32.0rc1", "v0.32", "0.32.0.1", "a.b"])
def test_what_is_no_release_is_refused(text):
    with pytest.raises(ValueError, match="is not a vLLM release"):
        parse(text)


def test_releases_are_compared_by_number():
    assert parse("0.9") < parse("0.10.1") < parse("0.32") == parse("0.32.0") < parse("1.0")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4096", 4096), ("4k", 4000), ("4K", 4096), ("1.5k", 1500), ("2M", 2 * 2**20),
        ("1.5K", 0), ("-4", 0), ("", 0), ("four", 0), ("4 k", 0),
    ],
)  # fmt: skip
def test_whole_numbers_are_read_as_vllm_reads_them(text, number):
    assert whole(text) == number
