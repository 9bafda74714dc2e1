"""The pod of an engine: one container that runs `vllm serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_operator.api.base import Problem, quantity_bytes
from hybrid_operator.core import naming
from hybrid_operator.core.engine import adapters, gpus, intent
from hybrid_operator.core.engine.arguments import GIB, PORT, arguments
from hybrid_operator.core.engine.version import Version
from hybrid_operator.core.objects.merge import merge_pod_template
from hybrid_operator.core.placement import Wanted
from hybrid_operator.core.state import PRODUCT_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.base import SecretValue
    from hybrid_operator.api.models import ModelSpec, PVCSource
    from hybrid_operator.core.engine.defaults import EngineDefaults
    from hybrid_operator.core.objects.context import Context

CONTAINER = "engine"
CACHE = "/var/cache/hybridinference"
"""Where downloads and compiled code stay; a directory of the image would be lost with the
container."""


class EnginePod(msgspec.Struct, frozen=True):
    """A rendered pod template, and what to tell about it."""

    template: dict[str, Any]
    version: Version
    problems: tuple[Problem, ...] = ()
    """Of the pod template that the resource adds; then `template` is without it."""
    notes: tuple[Problem, ...] = ()
    """What the release cannot do of what the resource asks for."""


def build(context: Context, model: ModelSpec, path: str) -> EnginePod:
    """Render the pod template of the engine of `model`, which stands at `path` of the resource."""
    wanted = intent.intent(model, context.defaults)
    rendered = arguments(wanted)
    ours = {
        "metadata": {
            "labels": naming.labels(naming.engine_selector(context.owner.name, model.name))
        },
        "spec": _pod(context, model, rendered.argv),
    }
    template, problems = merge_pod_template(
        ours, model.pod_template, CONTAINER, f"{path}.podTemplate"
    )
    notes = tuple(note.below(path) for note in rendered.notes)
    return EnginePod(template, wanted.version, tuple(problems), notes)


def image(context: Context, model: ModelSpec) -> str:
    """Return the engine's container image: the resource's, the platform's, or vLLM's own."""
    if model.engine and model.engine.image:
        return model.engine.image
    settings, defaults = context.settings, context.defaults
    kind = model.accelerator.type
    chosen = settings.engine_images.get(kind)
    if chosen is None and kind != gpus.CPU:
        # The platform's general image is one for GPUs.
        chosen = settings.engine_image
    release = intent.version(model, defaults)
    return chosen or _own_image(model, defaults).format(version=release)


def _own_image(model: ModelSpec, defaults: EngineDefaults) -> str:
    if model.accelerator.type == gpus.CPU:
        return defaults.cpu_image
    return defaults.amd_image if intent.resource(model) == gpus.AMD else defaults.image


def wanted(model: ModelSpec) -> Wanted | None:
    """Return what a replica needs of a node's accelerators; None on the CPU."""
    if not intent.gpu_count(model):
        return None
    accelerator = model.accelerator
    memory = quantity_bytes(accelerator.memory) // gpus.MIB if accelerator.memory else 0
    known = gpus.find(accelerator.type)
    if known is not None and not accelerator.resource_name:
        memory = memory or known.memory_mib
    return Wanted(intent.resource(model), accelerator.count, _products(model), memory)


def _products(model: ModelSpec) -> tuple[str, ...]:
    """Return the node labels that will do; () where a resource of its own names the hardware."""
    gpu = gpus.find(model.accelerator.type)
    if gpu is None or model.accelerator.resource_name:
        return ()
    return tuple(name + suffix for name in gpu.products for suffix in ("", gpus.SHARED_SUFFIX))


def _pod(context: Context, model: ModelSpec, argv: tuple[str, ...]) -> dict[str, Any]:
    settings, defaults = context.settings, context.defaults
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": defaults.grace,
        # vLLM's image runs as root, so runAsNonRoot cannot be asked for.
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(context, model, argv)],
        "volumes": _volumes(model, defaults),
        **_placement(model),
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.priority_class:
        pod["priorityClassName"] = settings.priority_class
    return pod


def _container(context: Context, model: ModelSpec, argv: tuple[str, ...]) -> dict[str, Any]:
    defaults = context.defaults
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image(context, model),
        "command": ["vllm", "serve"],
        "args": list(argv),
        "env": _env(model, defaults),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(model, defaults),
        "volumeMounts": _mounts(model),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": defaults.pre_stop}}},
        **_probes(defaults),
    }
    if model.engine and model.engine.image_pull_policy:
        container["imagePullPolicy"] = model.engine.image_pull_policy
    return container


def _probes(defaults: EngineDefaults) -> dict[str, Any]:
    period = 5
    # vLLM answers /v1/models once it can serve, and /health with an error only when its engine is
    # dead.
    serves = {"httpGet": {"path": "/v1/models", "port": "http"}, "timeoutSeconds": 5}
    lives = {"httpGet": {"path": "/health", "port": "http"}, "timeoutSeconds": 10}
    return {
        "startupProbe": {
            **serves,
            "periodSeconds": period,
            "failureThreshold": defaults.startup // period,
        },
        "readinessProbe": {**serves, "periodSeconds": period, "failureThreshold": 3},
        "livenessProbe": {**lives, "periodSeconds": 10, "failureThreshold": 6},
    }


def _env(model: ModelSpec, defaults: EngineDefaults) -> list[dict[str, Any]]:
    values = {
        "HF_HOME": f"{CACHE}/huggingface",
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # vLLM's own limit on its start is 600 s; the startup probe is what decides.
        "VLLM_ENGINE_READY_TIMEOUT_S": str(defaults.startup),
    }
    if intent.directory(model) and not adapters.downloaded(model):
        values["HF_HUB_OFFLINE"] = "1"
    if not intent.gpu_count(model):
        values["VLLM_CPU_KVCACHE_SPACE"] = str(defaults.cpu_kv_cache_gib)
    env: list[dict[str, Any]] = [{"name": name, "value": each} for name, each in values.items()]
    token = _token(model)
    if token is not None:
        secret = token.secret_key_ref
        reference = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
        env.append({"name": "HF_TOKEN", "valueFrom": reference})
    return env


def _token(model: ModelSpec) -> SecretValue | None:
    """Return the token for the Hugging Face Hub: the model's, else an adapter's."""
    repositories = [intent.source(model).hugging_face]
    repositories += [each.source.hugging_face for each in model.loras]
    return next((each.token for each in repositories if each and each.token), None)


def _resources(model: ModelSpec, defaults: EngineDefaults) -> dict[str, Any]:
    count = intent.gpu_count(model)
    if not count:
        memory = defaults.cpu_memory_request_gib
        return {"requests": {"cpu": defaults.cpu_cpu_request, "memory": f"{memory}Gi"}}
    host = defaults.gpu_memory_request_gib * GIB + _offloaded(model)
    # Extended resources cannot be overcommitted: a limit and an equal request.
    accelerators = {intent.resource(model): str(count)}
    return {
        "requests": {
            "cpu": defaults.gpu_cpu_request,
            "memory": f"{-(-host // 2**20)}Mi",
            **accelerators,
        },
        "limits": accelerators,
    }


def _offloaded(model: ModelSpec) -> int:
    """Return the bytes of host memory that offloading takes in one replica."""
    engine = model.engine
    kv_cache = quantity_bytes(engine.kv_offload.size) if engine and engine.kv_offload else 0
    per_gpu = quantity_bytes(engine.weight_offload.size) if engine and engine.weight_offload else 0
    return kv_cache + per_gpu * intent.gpu_count(model)


def _placement(model: ModelSpec) -> dict[str, Any]:
    if not intent.gpu_count(model):
        return {}
    resource = intent.resource(model)
    # Nodes are tainted by vendor, MIG slices or not.
    taint = f"{resource.split('/', maxsplit=1)[0]}/gpu"
    placement: dict[str, Any] = {"tolerations": [{"key": taint, "operator": "Exists"}]}
    # A resource of its own (a MIG slice) names the hardware already.
    products = _products(model)
    if not products:
        return placement
    term = {
        "matchExpressions": [{"key": PRODUCT_LABEL, "operator": "In", "values": list(products)}]
    }
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {**placement, "affinity": {"nodeAffinity": required}}


def _volumes(model: ModelSpec, defaults: EngineDefaults) -> list[dict[str, Any]]:
    shared = {"medium": "Memory", "sizeLimit": defaults.shared_memory}
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": shared}]
    cache = model.cache.pvc if model.cache else None
    volumes.append({"name": "cache", **(_claim(cache) if cache else {"emptyDir": {}})})
    weights = intent.source(model)
    if weights.pvc:
        volumes.append({"name": "model", **_claim(weights.pvc)})
    elif weights.image:
        volumes.append({"name": "model", "image": {"reference": weights.image.reference}})
    for index, lora in enumerate(model.loras):
        if lora.source.pvc:
            volumes.append({"name": f"adapter-{index}", **_claim(lora.source.pvc)})
    return volumes


def _claim(source: PVCSource) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": source.claim}}


def _mounts(model: ModelSpec) -> list[dict[str, Any]]:
    cache = model.cache.pvc if model.cache else None
    weights = intent.source(model)
    mounts: list[dict[str, Any]] = [
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  shared memory, not a temporary file
        {"name": "cache", "mountPath": CACHE, **_sub_path(cache.path if cache else "")},
    ]
    directory = intent.directory(model)
    if directory:
        mounted = weights.pvc or weights.image
        path = mounted.path if mounted else ""
        mounts.append(
            {"name": "model", "mountPath": directory, "readOnly": True, **_sub_path(path)}
        )
    return [*mounts, *_adapters(model)]


def _adapters(model: ModelSpec) -> Iterator[dict[str, Any]]:
    for index, lora in enumerate(model.loras):
        where = adapters.directory(lora)
        if where and lora.source.pvc:
            mount = {"name": f"adapter-{index}", "mountPath": where, "readOnly": True}
            yield {**mount, **_sub_path(lora.source.pvc.path)}


def _sub_path(path: str) -> dict[str, str]:
    cut = path.strip("/")
    return {"subPath": cut} if cut else {}
