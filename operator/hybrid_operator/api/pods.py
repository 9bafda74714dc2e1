"""Parts of a pod that a user may add to. They stay plain dicts, so that no field is lost.

A partial pod template is merged as it was written, with fields that this release has never heard
of. The types here only say which outer fields there are; `AsWritten` checks against one and keeps
the dict.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hybrid_operator.api.base import Spec


class AsWritten(msgspec.Struct, frozen=True):
    """Marks a dict that must read as the type `shape`, and stays a dict."""

    shape: type[Spec]


class ResourceQuantity(msgspec.Struct, frozen=True):
    """Marks what Kubernetes calls a quantity: a whole number, or a string such as 100m or 2Gi."""

    pattern = "[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?"
    message = "must be a quantity such as 2, 500m or 2Gi"
    longest = 32

    def entry(self) -> dict[str, str]:
        """Return the entry of `x-kubernetes-validations`."""
        return {"rule": f"string(self).matches('^({self.pattern})$')", "message": self.message}

    def holds(self, value: object) -> bool:
        """Return whether `value` is a quantity."""
        number = isinstance(value, int) and not isinstance(value, bool)
        return (number or isinstance(value, str)) and (
            re.fullmatch(self.pattern, str(value)) is not None
        )


Quantities = Annotated[dict[str, Annotated[int | str, ResourceQuantity()]], Meta(max_length=16)]


class Resources(Spec, frozen=True, kw_only=True):
    """Resource requests and limits of one container."""

    requests: Quantities | None = None
    """What the scheduler sets aside: cpu, memory and others."""
    limits: Quantities | None = None
    """What the container may use at most."""


class PodMetadata(Spec, frozen=True, kw_only=True):
    """Labels and annotations that are added to the operator's own."""

    labels: (
        Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=64)] | None
    ) = None
    """Labels. The operator's own cannot be changed."""
    annotations: (
        Annotated[dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=64)] | None
    ) = None
    """Annotations."""


PreservedObject = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"x-kubernetes-preserve-unknown-fields": True}),
]


class PodTemplateFields(Spec, frozen=True, kw_only=True):
    """A partial PodTemplateSpec."""

    metadata: PodMetadata | None = None
    """Labels and annotations that are added to the operator's own."""
    spec: PreservedObject | None = None
    """A partial PodSpec: nodeSelector, tolerations, affinity, containers by name and others. What
    the platform does not allow is refused with a condition that names the field."""


PodTemplate = Annotated[dict[str, Any], AsWritten(PodTemplateFields)]
"""A partial PodTemplateSpec as a dict, with the keys `metadata` and `spec`."""
ResourcesDict = Annotated[dict[str, Any], AsWritten(Resources)]
"""`requests` and `limits` as a dict."""
