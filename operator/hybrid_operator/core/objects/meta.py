"""What every child has: kind, name, labels and the owner that it is collected with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.api.base import GROUP, KIND, VERSION
from hybrid_operator.core import naming

if TYPE_CHECKING:
    from hybrid_operator.core.state import Owner

APPLIED = f"{GROUP}/applied"
"""Annotation with the hash of the object as we applied it: a field that we no longer state leads
to an apply."""
RENDER = f"{GROUP}/render"
"""Annotation with what an engine's pod template was rendered from."""
TEMPLATE = f"{GROUP}/template"
"""Annotation with the pod template that was rendered (see `objects.record`)."""


def child(
    kind: tuple[str, str], name: str, owner: Owner, selector: dict[str, str], **body: object
) -> dict[str, Any]:
    """Return a child of `owner`, found by `selector`; `kind` is (apiVersion, kind)."""
    api_version, kind_name = kind
    return {
        "apiVersion": api_version,
        "kind": kind_name,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": naming.labels(selector),
            "ownerReferences": [owner_reference(owner)],
        },
        **body,
    }


def owner_reference(owner: Owner) -> dict[str, Any]:
    """Return the reference by which the garbage collector deletes a child with its owner."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
