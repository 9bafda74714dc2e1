"""Parts of a pod that a user may add to. They stay plain dicts, so that no field is lost.

A partial pod template is merged as it was written, with fields that this release has never heard
of. The types here only say which outer fields there are; `AsWritten` checks against one and keeps
the dict.
"""

import re
from typing import Annotated, Any

import msgspec
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from hybrid_operator.api.base import VALIDATIONS, Spec

_AS_IT_IS = core_schema.plain_serializer_function_ser_schema(lambda value: value)


class AsWritten(msgspec.Struct, frozen=True):
    """Marks a dict that must read as the type `shape`, and stays a dict."""

    shape: type[Spec]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            _keep, handler(self.shape), serialization=_AS_IT_IS
        )


def _keep(value: Any, read: core_schema.ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401  pydantic's signature
    read(value)
    return value


_QUANTITY = re.compile("[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


class ResourceQuantity(msgspec.Struct, frozen=True):
    """Marks what Kubernetes calls a quantity: a whole number, or a string such as 100m or 2Gi."""

    message = "must be a quantity such as 2, 500m or 2Gi"

    def _check(self, value: object) -> object:
        number = isinstance(value, int) and not isinstance(value, bool)
        if not (number or isinstance(value, str)) or _QUANTITY.fullmatch(str(value)) is None:
            raise PydanticCustomError("shape", "{sentence}", {"sentence": self.message})
        return value

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        matches = f"string(self).matches('^({_QUANTITY.pattern})$')"
        return {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            VALIDATIONS: [{"rule": matches, "message": self.message}],
        }


Quantities = Annotated[dict[str, Annotated[int | str, ResourceQuantity()]], Field(max_length=16)]


class Resources(Spec):
    """Resource requests and limits of one container."""

    requests: Quantities | None = None
    """What the scheduler sets aside: cpu, memory and others."""
    limits: Quantities | None = None
    """What the container may use at most."""


class PodMetadata(Spec):
    """Labels and annotations that are added to the operator's own."""

    labels: (
        Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)] | None
    ) = None
    """Labels. The operator's own cannot be changed."""
    annotations: (
        Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)] | None
    ) = None
    """Annotations."""


PreservedObject = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]


class PodTemplateFields(Spec):
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
