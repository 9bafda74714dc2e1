"""The HybridInference resource as a whole."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from hybrid_operator.api import references
from hybrid_operator.api.base import MAP_BY_NAME, SECRET_KEY, ObjectName, Rule, Shape, Spec, rule
from hybrid_operator.api.models import ModelSpec
from hybrid_operator.api.pods import PodTemplate, ResourcesDict
from hybrid_operator.api.providers import Provider, RateLimits
from hybrid_operator.api.routing import Budget, Routing

MAX_NAME = 50
"""Longest name of a HybridInference: it is part of the names of Services and of label values, which
end at 63 characters."""

NAME = Shape(
    f"[a-z]([-a-z0-9]{{0,{MAX_NAME - 2}}}[a-z0-9])?",
    f"must be at most {MAX_NAME} lower-case letters, digits and '-', beginning with "
    "a letter and ending with a letter or digit, because Services are named after it",
)


class LocalSecretRef(Spec, frozen=True, kw_only=True):
    """A Secret in the resource's namespace."""

    name: ObjectName
    """Name of the Secret."""


class KeyLimits(RateLimits, frozen=True, kw_only=True):
    """What one client key may ask for."""

    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests under way at once, over all routers."""


class LimitsOfKey(KeyLimits, frozen=True, kw_only=True):
    """Limits of one client key, instead of those of every key."""

    name: Annotated[str, Meta(max_length=253), SECRET_KEY]
    """The client's id: a key of the Secret."""


class ClientKeys(Spec, frozen=True, kw_only=True):
    """Keys that clients must present as a bearer token."""

    secret_ref: LocalSecretRef
    """A Secret whose every key is a client's id and whose values are the clients' keys."""
    limits: KeyLimits | None = None
    """What each key may ask for. Without it, as much as the backends take."""
    overrides: Annotated[list[LimitsOfKey], Meta(max_length=64, extra_json_schema=MAP_BY_NAME)] = []
    """Limits of single keys, instead of limits."""


class RouterService(Spec, frozen=True, kw_only=True):
    """The Service in front of the routers."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service. Defaults to ClusterIP."""


class RouterSpec(Spec, frozen=True, kw_only=True):
    """The routers, which clients talk to."""

    replicas: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Router pods. Defaults to 2."""
    resources: ResourcesDict | None = None
    """Resource requests and limits of one router. Defaults to requests of 100m CPU and 128Mi
    memory."""
    client_keys: ClientKeys | None = None
    """Keys that clients must present. Without it, everyone who reaches the Service is served."""
    access_log: bool | None = None
    """Whether routers write one JSON line per request and per outcome, without prompts, to their
    standard output. Defaults to false."""
    service: RouterService = field(default_factory=RouterService)
    """The Service in front of the routers."""
    pod_template: PodTemplate | None = None
    """Partial pod template, merged over the operator's: metadata.labels, metadata.annotations and
    spec. The container of the router is called router."""


class HybridInferenceSpec(Spec, frozen=True, kw_only=True):
    """Local models, external providers, and how prompts are divided between them."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "(has(self.models) ? size(self.models) : 0)"
            " + (has(self.providers) ? size(self.providers) : 0) > 0",
            "needs at least one entry in models or providers",
            lambda spec: len(spec.models) + len(spec.providers) > 0,
        ),
        *references.RULES,
    )

    models: Annotated[list[ModelSpec], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """Small language models on the cluster's own accelerators."""
    providers: Annotated[list[Provider], Meta(max_length=8, extra_json_schema=MAP_BY_NAME)] = []
    """External LLM APIs."""
    routing: Routing = field(default_factory=Routing)
    """Who answers which prompt."""
    budgets: Annotated[list[Budget], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """Limits on what the APIs may cost. No effect yet: nothing is counted or refused by them."""
    router: RouterSpec = field(default_factory=RouterSpec)
    """The routers, which clients talk to."""
