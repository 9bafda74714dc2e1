"""Names and labels of children: DNS-safe, stable, and never the same for two of them.

A name is a DNS label that begins with a letter, because Services need that (RFC 1035) and pods
carry it as their host name. Whatever had to be changed or cut is told apart by a hash of the
original.
"""

from __future__ import annotations

import hashlib
import re

from hybrid_operator.api.base import GROUP

MAX_LABEL = 63
"""Characters of a DNS label and of a label's value."""
HASH_LENGTH = 8
MANAGER = "hybridinference"
"""Field manager of everything that the operator writes, and value of
`app.kubernetes.io/managed-by`."""

AUTOSCALER = f"{MANAGER}-autoscaler"
"""Field manager of what autoscaling writes: `spec.replicas`, through the scale subresource."""

INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
MODEL_LABEL = f"{GROUP}/model"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_UNCLEAN = re.compile(r"[^a-z0-9]+")


def digest(*parts: str, length: int = HASH_LENGTH) -> str:
    """Return hex digits that tell `parts` from any other parts."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:length]


def fit(text: str, limit: int = MAX_LABEL) -> str:
    """Return `text` as a DNS label of at most `limit` characters; changed only where it is none."""
    if len(text) <= limit and _LABEL.fullmatch(text):
        return text
    return _with_hash(text, digest(text), limit)


def instance(owner: str) -> str:
    """Return the label value that stands for the resource `owner`."""
    return fit(owner)


def router(owner: str) -> str:
    """Return the name of every child that serves the routers of the resource `owner`.

    It ends in `-router`, an engine's in 8 hex digits: the two never meet.
    """
    suffix = "-router"
    limit = MAX_LABEL - len(suffix)
    begins_well = owner[:1].isascii() and owner[:1].isalpha()
    return (fit(owner, limit) if begins_well else _with_hash(owner, digest(owner), limit)) + suffix


def calibration(owner: str) -> str:
    """Return the name of the ConfigMap that remembers calibration states."""
    return f"{router(owner)}-calibration"


def engine(owner: str, model: str) -> str:
    """Return the name of the Deployment and the Service of one model's engine."""
    return _with_hash(f"{owner}-{model}", digest(owner, model), MAX_LABEL)


def api_backend(provider: str) -> str:
    """Return the table's name of the backend that a provider's account is."""
    return f"api/{provider}"


def local_backend(model: str) -> str:
    """Return the table's name of the backend that a local model's replicas are."""
    return f"local/{model}"


def volume(kind: str, name: str) -> str:
    """Return the name of a pod's volume for the thing `name` of a `kind`."""
    return fit(f"{kind}-{name}")


def router_selector(owner: str) -> dict[str, str]:
    """Return the labels that select router pods; fixed for good, for a selector cannot change."""
    return {INSTANCE_LABEL: instance(owner), COMPONENT_LABEL: "router"}


def engine_selector(owner: str, model: str) -> dict[str, str]:
    """Return the labels that select one engine's pods; fixed for good."""
    return {
        INSTANCE_LABEL: instance(owner),
        COMPONENT_LABEL: "engine",
        MODEL_LABEL: fit(model),
    }


def labels(selector: dict[str, str]) -> dict[str, str]:
    """Return all labels of a child: those that select it and those that describe it.

    None of them names a release: a label on a pod template that changes with the operator would
    restart engines.
    """
    names = {"router": "hybrid-router", "engine": "vllm"}
    return {
        "app.kubernetes.io/name": names[selector[COMPONENT_LABEL]],
        "app.kubernetes.io/part-of": "hybrid-inference",
        "app.kubernetes.io/managed-by": MANAGER,
        **selector,
    }


def _with_hash(text: str, tail: str, limit: int) -> str:
    words = _UNCLEAN.sub("-", text.lower()).strip("-")
    if not words[:1].isalpha():
        words = f"x-{words}"
    return words[: limit - 1 - len(tail)].rstrip("-") + "-" + tail
