"""Whose an object is that has the name of a child: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.control.cache import owned_by, owners
from hybrid_operator.core.naming import INSTANCE_LABEL, MANAGER, instance
from hybrid_operator.kube.kinds import MANAGED_BY_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.core.state import Owner


def is_ours(obj: Mapping[str, Any], owner: Owner) -> bool:
    """Whether `owner` may write `obj`.

    It may when it is named as an owner, whatever became of the labels. It also may when the
    object has our labels and nobody owns it: that is what deleting a resource with
    `--cascade=orphan` leaves, for the next resource of that name to take up.
    """
    if owned_by(obj, owner.uid):
        return True
    metadata = obj["metadata"]
    labels = metadata.get("labels") or {}
    orphan = not owners(obj) and not any(
        reference.get("controller") for reference in metadata.get("ownerReferences") or []
    )
    return (
        orphan
        and labels.get(MANAGED_BY_LABEL) == MANAGER
        and labels.get(INSTANCE_LABEL) == instance(owner.name)
    )
