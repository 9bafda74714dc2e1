"""An engine's pod: hardware, weights, memory and secrets."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.core.engine import catalog, gpus, intent
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.objects import engine_pod
from hybrid_operator.core.objects.context import Context
from hybrid_operator.core.state import Settings
from tests.support.resources import owner, spec


def pod(text: str, **settings: Any) -> dict[str, Any]:
    context = Context(owner(), Settings(router_image="router", **settings))
    (model,) = spec(f"models: [{text}]").models
    template: dict[str, Any] = engine_pod.build(context, model, "spec.models[0]").template["spec"]
    return template


def container(text: str, **settings: Any) -> Any:
    return pod(text, **settings)["containers"][0]


def problems(text: str) -> list[str]:
    (model,) = spec(f"models: [{text}]").models
    return [str(problem) for problem in intent.problems(model, "spec.models[0]")]


A10G = "{name: llama-3-8b, accelerator: {type: a10g}}"


def test_the_grace_period_has_room_for_every_step_of_the_end():
    assert CURRENT.pre_stop + CURRENT.shutdown < CURRENT.grace
    assert CURRENT.startup < CURRENT.progress_deadline


@pytest.mark.parametrize(
    ("model", "products"),
    [
        pytest.param(A10G, ["NVIDIA-A10G", "NVIDIA-A10G-SHARED"], id="one product"),
        pytest.param(
            "{name: phi-4, accelerator: {type: a100-40gb}}",
            [
                "NVIDIA-A100-SXM4-40GB",
                "NVIDIA-A100-SXM4-40GB-SHARED",
                "NVIDIA-A100-PCIE-40GB",
                "NVIDIA-A100-PCIE-40GB-SHARED",
            ],
            id="a GPU that is sold in several forms",
        ),
        pytest.param(
            "{name: phi-4, accelerator: {type: h100-pcie}}",
            ["NVIDIA-H100-PCIe", "NVIDIA-H100-PCIe-SHARED"],
            id="a form of a GPU with less bandwidth",
        ),
    ],
)
def test_a_gpu_of_the_catalogue_is_found_by_its_product(model, products):
    required = pod(model)["affinity"]["nodeAffinity"]
    (term,) = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": products}
    ]


@pytest.mark.parametrize(
    ("accelerator", "resource", "taint"),
    [
        pytest.param("{type: a10g, count: 2}", "nvidia.com/gpu", "nvidia.com/gpu", id="NVIDIA"),
        pytest.param("{type: mi300x, count: 2}", "amd.com/gpu", "amd.com/gpu", id="AMD"),
        pytest.param(
            "{type: a100-80gb, count: 2, resourceName: nvidia.com/mig-3g.40gb}",
            "nvidia.com/mig-3g.40gb",
            "nvidia.com/gpu",
            id="a MIG slice",
        ),
    ],
)
def test_accelerators_are_requested_and_their_taint_is_tolerated(accelerator, resource, taint):
    found = pod(f"{{name: phi-4, accelerator: {accelerator}}}")
    resources = found["containers"][0]["resources"]
    assert resources["limits"] == {resource: "2"}
    assert resources["requests"][resource] == "2"
    assert found["tolerations"] == [{"key": taint, "operator": "Exists"}]


@pytest.mark.parametrize(
    "accelerator",
    ["{type: mi300x}", "{type: a100-80gb, resourceName: nvidia.com/mig-1g.10gb}", "{type: cpu}"],
)
def test_no_product_is_asked_for_where_the_label_would_not_say_it(accelerator):
    assert "affinity" not in pod(f"{{name: phi-4, accelerator: {accelerator}}}")


def test_without_a_gpu_nothing_of_one_is_asked_for():
    found = pod("{name: phi-4, accelerator: {type: cpu}}")
    assert "tolerations" not in found
    assert "limits" not in found["containers"][0]["resources"]
    assert {"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"} in found["containers"][0]["env"]


ADAPTERS = """{
  name: phi-4, accelerator: {type: l4}, source: {pvc: {claim: weights}}, loras: [
    {name: sql, rank: 20, source: {pvc: {claim: adapters, path: sql}}},
    {name: json, source: {huggingFace: {
        repo: org/json, token: {secretKeyRef: {name: hf, key: token}}}}}]}"""


def test_adapters_are_mounted_or_downloaded_and_loaded():
    found = pod(ADAPTERS)
    (container,) = found["containers"]
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in found["volumes"]
        if "persistentVolumeClaim" in each
    }
    assert mounts["/adapters/sql"]["readOnly"]
    assert mounts["/adapters/sql"]["subPath"] == "sql"
    assert claims[mounts["/adapters/sql"]["name"]] == "adapters"
    begin = container["args"].index("--enable-lora")
    assert container["args"][begin : begin + 6] == [
        "--enable-lora",
        "--max-loras=2",
        "--max-lora-rank=32",
        "--lora-modules",
        "sql=/adapters/sql",
        "json=org/json",
    ]
    names = {each["name"] for each in container["env"]}
    assert "HF_TOKEN" in names
    assert "HF_HUB_OFFLINE" not in names


IMAGES = {"engine_image": "mirror/vllm:1", "engine_images": {"cpu": "mirror/cpu:1"}}


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        pytest.param(A10G, {}, "vllm/vllm-openai:v0.32.0", id="vLLM's own by default"),
        pytest.param(
            "{name: phi-4, accelerator: {type: l4}, engine: {version: '0.31'}}",
            {},
            "vllm/vllm-openai:v0.31.0",
            id="vLLM's own of the release that is asked for",
        ),
        pytest.param(A10G, IMAGES, "mirror/vllm:1", id="the platform's"),
        pytest.param(
            "{name: phi-4, accelerator: {type: l4}, engine: {image: mine:2}}",
            IMAGES,
            "mine:2",
            id="the resource's before the platform's",
        ),
        pytest.param(
            "{name: phi-4, accelerator: {type: cpu}}",
            IMAGES,
            "mirror/cpu:1",
            id="the platform's for the accelerator",
        ),
        pytest.param(
            "{name: phi-4, accelerator: {type: cpu}}",
            {"engine_image": "mirror/vllm:1"},
            "vllm/vllm-openai-cpu:v0.32.0",
            id="no GPU image for a CPU",
        ),
        pytest.param(
            "{name: phi-4, accelerator: {type: mi300x}}",
            {},
            "vllm/vllm-openai-rocm:v0.32.0",
            id="vLLM's own for AMD",
        ),
    ],
)
def test_the_image_is(model, settings, expected):
    assert container(model, **settings)["image"] == expected


def test_weights_on_a_claim_are_mounted_read_only_and_nothing_is_downloaded():
    found = pod("{name: a, source: {pvc: {claim: w, path: x/y}}, accelerator: {type: l4}}")
    engine = found["containers"][0]
    assert engine["args"][0] == "/models/a"
    assert {
        "name": "model",
        "mountPath": "/models/a",
        "readOnly": True,
        "subPath": "x/y",
    } in engine["volumeMounts"]
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "w"}} in found["volumes"]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in engine["env"]


def test_weights_in_an_image_are_an_image_volume():
    found = pod("{name: a, source: {image: {reference: 'w:1'}}, accelerator: {type: l4}}")
    assert {"name": "model", "image": {"reference": "w:1"}} in found["volumes"]


def test_downloads_stay_on_the_claim_that_is_named():
    found = pod("{name: phi-4, accelerator: {type: l4}, cache: {pvc: {claim: c, path: hf}}}")
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "c"}} in found["volumes"]
    mounts = found["containers"][0]["volumeMounts"]
    assert {"name": "cache", "mountPath": engine_pod.CACHE, "subPath": "hf"} in mounts


def test_a_token_is_named_and_never_read():
    source = "{huggingFace: {repo: r, token: {secretKeyRef: {name: hf, key: token}}}}"
    found = container(f"{{name: a, accelerator: {{type: l4}}, source: {source}}}")
    reference = {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in found["env"]


def test_memory_that_offloading_takes_is_requested():
    found = container(
        "{name: phi-4, accelerator: {type: l4, count: 2}, "
        "engine: {kvOffload: {size: 4Gi}, weightOffload: {size: 1Gi}}}"
    )
    assert found["resources"]["requests"]["memory"] == f"{(6 + 4 + 2 * 1) * 1024}Mi"


def test_a_gpu_without_bfloat16_runs_in_half_precision():
    assert "--dtype=half" in container("{name: phi-4, accelerator: {type: t4}}")["args"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            "{name: mine, accelerator: {type: l4}}",
            "spec.models[0].source: is missing, and the catalogue has no mine; say where the "
            "weights are, or name a catalogue entry in catalog (see `hinf models`)",
            id="a model that nobody knows",
        ),
        pytest.param(
            "{name: lama-3-8b, accelerator: {type: l4}}",
            "spec.models[0].source: is missing, and the catalogue has no lama-3-8b; did you mean "
            "llama-3-8b or llama-3.1-8b? Else say where the weights are, or name a catalogue entry "
            "in catalog (see `hinf models`)",
            id="a model that is mistyped",
        ),
        pytest.param(
            "{name: mine, catalog: llama-9, accelerator: {type: l4}}",
            "spec.models[0].catalog: the catalogue has no llama-9; did you mean llama-3-8b or "
            "llama-3.2-3b? Else say source, or see `hinf models`",
            id="a catalogue entry that is not there",
        ),
        pytest.param(
            "{name: phi-4, accelerator: {type: l4}, engine: {args: [--seed=1, --port, '9']}}",
            "spec.models[0].engine.args[1]: --port is the operator's: the Service and the probes "
            "use port 8000",
            id="an argument that other children depend on",
        ),
    ],
)
def test_no_engine_is_rendered_for(model, expected):
    assert problems(model) == [expected]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("{name: phi-4, accelerator: {type: cpu}}", id="the CPU"),
        pytest.param("{name: phi-4, accelerator: {type: x1, memory: 24Gi}}", id="an unknown GPU"),
        pytest.param("{name: qwen2-5-coder-7b, accelerator: {type: l4}}", id="a name without dots"),
    ],
)
def test_an_engine_is_rendered_for(model):
    assert problems(model) == []


def test_catalogues_name_everything_once():
    catalogues = (
        [entry.name for entry in catalog.catalogue()],
        [entry.name for entry in gpus.catalogue()],
    )
    for entries in catalogues:
        names = [name.replace(".", "-") for name in entries]
        assert sorted(set(names)) == sorted(names)
