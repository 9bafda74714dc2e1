"""What the operator is told when it starts: environment variables (chart values) and options."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from hybrid_operator.core.state import Pool, Settings, Share

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "HINF_ROUTER_IMAGE": "image of the routers (required)",
    "HINF_ROUTER_PULL_POLICY": "when it is pulled: Always, IfNotPresent or Never",
    "HINF_OTLP_ENDPOINT": "collector that routers send spans to, such as http://otel.obs:4318",
    "HINF_TRACE_RATIO": "share of the traces that begin at a router, 0 to 1; default: 1",
    "HINF_ENGINE_IMAGE": "engine image for models that name none; default: vLLM's own",
    "HINF_ENGINE_IMAGES": 'the same by accelerator type: {"cpu": "example.com/vllm-cpu:0.32"}',
    "HINF_IMAGE_PULL_SECRETS": "names of image pull Secrets, separated by commas",
    "HINF_PRIORITY_CLASS": "priority class of all pods",
    "HINF_GPU_PRICES": 'USD per hour of a GPU by accelerator type: {"a10g": "1.00"}',
    "HINF_POOL": 'GPUs to share: {"gpus": {"a10g": 8}, "namespaces": {"ml": {"weight": 2}}}',
    "HINF_WATCH_NAMESPACES": "namespaces to look after, separated by commas; default: all",
    "HINF_POD_NAME": "name of this pod, part of its identity in the Lease",
    "HINF_POD_NAMESPACE": "namespace of the Lease; default: that of the credentials",
}
"""Every variable that is read, with what it means."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


class SettingsError(ValueError):
    """A variable's value is not usable; the message names the variable and says what is."""


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Everything that the environment says."""

    platform: Settings
    namespaces: tuple[str, ...]
    """Namespaces to look after; empty for all."""
    identity: str
    """Who this process is in the Lease; unique."""
    pod_namespace: str | None
    """Where the Lease stands; None: where the credentials point."""


def from_environment(environment: Mapping[str, str], hostname: str) -> OperatorSettings:
    """Read the settings.

    Args:
        environment: Variables by name; an empty one counts as not set.
        hostname: Of this machine, for the identity where no pod name is given.

    Raises:
        SettingsError: a variable is missing or has an unusable value.
    """
    given = {name: environment[name] for name in VARIABLES if environment.get(name, "").strip()}
    image = given.get("HINF_ROUTER_IMAGE")
    if image is None:
        raise SettingsError(
            "HINF_ROUTER_IMAGE is not set: name the image of the routers, such as "
            "example.com/hybrid-router:0.1.0 (the chart sets it)"
        )
    namespaces = _names(given, "HINF_WATCH_NAMESPACES")
    for name in (*namespaces, *_names(given, "HINF_POD_NAMESPACE")):
        if not _LABEL.fullmatch(name):
            raise SettingsError(f"{name!r} is not the name of a namespace: no patterns, no spaces")
    return OperatorSettings(
        platform=Settings(
            router_image=image,
            router_pull_policy=_pull_policy(given),
            otlp_endpoint=_endpoint(given),
            trace_ratio=_ratio(given),
            engine_image=given.get("HINF_ENGINE_IMAGE"),
            engine_images=_images(given),
            image_pull_secrets=_names(given, "HINF_IMAGE_PULL_SECRETS"),
            priority_class=given.get("HINF_PRIORITY_CLASS"),
            gpu_prices=_prices(given),
            pool=_pool(given),
        ),
        namespaces=tuple(dict.fromkeys(namespaces)),
        identity=f"{given.get('HINF_POD_NAME', hostname)}_{secrets.token_hex(4)}",
        pod_namespace=given.get("HINF_POD_NAMESPACE"),
    )


def _names(given: Mapping[str, str], variable: str) -> tuple[str, ...]:
    return tuple(name for part in given.get(variable, "").split(",") if (name := part.strip()))


def _pull_policy(given: Mapping[str, str]) -> str | None:
    policy = given.get("HINF_ROUTER_PULL_POLICY")
    if policy is not None and policy not in _PULL_POLICIES:
        raise SettingsError(
            f"HINF_ROUTER_PULL_POLICY is {policy!r}; it must be Always, IfNotPresent or Never"
        )
    return policy


def _endpoint(given: Mapping[str, str]) -> str | None:
    url = given.get("HINF_OTLP_ENDPOINT")
    if url is not None and not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"HINF_OTLP_ENDPOINT is {url!r}; it must begin with http:// or https://, such as "
            "http://otel-collector.observability:4318"
        )
    return url


def _ratio(given: Mapping[str, str]) -> str | None:
    text = given.get("HINF_TRACE_RATIO")
    if text is not None and not re.fullmatch(r"0([.][0-9]+)?|1([.]0+)?", text):
        raise SettingsError(f"HINF_TRACE_RATIO is {text!r}; it must be a share from 0 to 1")
    return text


class _Namespace(msgspec.Struct, forbid_unknown_fields=True):
    priority: int = 0
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class _Pool(msgspec.Struct, forbid_unknown_fields=True):
    gpus: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    namespaces: dict[str, _Namespace] = {}


def _pool(given: Mapping[str, str]) -> Pool:
    try:
        found = msgspec.json.decode(given.get("HINF_POOL", "{}"), type=_Pool)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"HINF_POOL is not a pool of GPUs: {error}") from None
    shares = {name: Share(each.priority, each.weight) for name, each in found.namespaces.items()}
    return Pool(found.gpus, shares)


def _prices(given: Mapping[str, str]) -> dict[str, str]:
    amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+([.][0-9]+)?$")]
    try:
        return msgspec.json.decode(given.get("HINF_GPU_PRICES", "{}"), type=dict[str, amount])
    except msgspec.MsgspecError as error:
        raise SettingsError(
            f'HINF_GPU_PRICES must be USD by accelerator type, such as {{"a10g": "1.00"}}: {error}'
        ) from None


def _images(given: Mapping[str, str]) -> dict[str, str]:
    text = given.get("HINF_ENGINE_IMAGES", "{}")
    try:
        images = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"HINF_ENGINE_IMAGES is not JSON: {error}") from None
    if not isinstance(images, dict) or not all(isinstance(v, str) and v for v in images.values()):
        raise SettingsError(
            "HINF_ENGINE_IMAGES must be an object of images by accelerator type, such as "
            '{"cpu": "example.com/vllm-cpu:0.32"}'
        )
    return images
