"""What one reconciliation sees and what it decides.

`control` fills an `Observed`, `plan.plan` turns it into a `Plan`, `control` carries that out.
Kubernetes objects are plain dicts in the form that the API server speaks; nobody changes one after
it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import field

from hybrid_operator.api.resource import HybridInferenceSpec

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one."""


class Ref(msgspec.Struct, frozen=True, order=True):
    """A child within the resource's namespace."""

    kind: str
    name: str


class Owner(msgspec.Struct, frozen=True):
    """The HybridInference that is reconciled."""

    name: str
    namespace: str
    uid: str
    generation: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    created: datetime | None = None


class Share(msgspec.Struct, frozen=True):
    """What a namespace's models are worth beside others'."""

    priority: int = 0
    weight: float = 1.0


class Pool(msgspec.Struct, frozen=True):
    """The GPUs that models share: how many there are by accelerator type, and who goes first."""

    gpus: Mapping[str, int] = field(default_factory=dict)
    """A type that is missing is unbounded."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """By namespace."""


class Settings(msgspec.Struct, frozen=True):
    """What the platform chose when it installed the operator (chart values, by environment)."""

    router_image: str
    router_pull_policy: str | None = None
    otlp_endpoint: str | None = None
    """Collector of OpenTelemetry spans for all routers; None: they record none."""
    trace_ratio: str | None = None
    """Share of the traces that begin at a router; None: all."""
    engine_image: str | None = None
    """Engine image for every model that names none; None: vLLM's own image of the release."""
    engine_images: Mapping[str, str] = field(default_factory=dict)
    """The same by accelerator type (`cpu`)."""
    image_pull_secrets: tuple[str, ...] = ()
    priority_class: str | None = None
    gpu_prices: Mapping[str, str] = field(default_factory=dict)
    """USD per hour of a GPU, by accelerator type, where a model states none."""
    pool: Pool = field(default_factory=Pool)


class BackendReport(msgspec.Struct, frozen=True):
    """What one router knows of one backend."""

    backend: str
    up: bool | None
    """By its last answers; None before any."""
    replicas: int
    secret_missing: bool = False
    last_status: int | None = None
    """HTTP status of the last failed attempt, 0 for a connection that failed; None after a
    success."""


class Outcomes(msgspec.Struct, frozen=True):
    """Answers judged good and bad."""

    good: int = 0
    bad: int = 0


class RouterReport(msgspec.Struct, frozen=True):
    """What one router pod said when it was last scraped."""

    pod: str
    table_hash: str
    generation: int
    backends: tuple[BackendReport, ...] = ()
    local: int = 0
    """Requests answered by a local model since the pod started."""
    api: int = 0
    states: Mapping[str, bool] = field(default_factory=dict)
    """The calibration state of its table, and whether it is applied."""
    outcomes: Mapping[str, Outcomes] = field(default_factory=dict)
    """Since the pod started, by calibration state."""

    def calibrated(self, state: str) -> bool:
        """Whether the router applies a state, or has not seen it yet."""
        return self.states.get(state, True)


class PodView(msgspec.Struct, frozen=True):
    """The part of a child pod that explains why something is not ready."""

    name: str
    component: Literal["engine", "router"]
    model: str | None
    """Name of the model, for an engine."""
    ready: bool
    phase: str
    reason: str = ""
    """Waiting or termination reason in Kubernetes' words (ImagePullBackOff, CrashLoopBackOff,
    Unschedulable ...)."""
    message: str = ""
    restarts: int = 0
    terminating: bool = False


PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Node label of GPU Feature Discovery: what kind of GPU a node has."""
MEMORY_LABEL = "nvidia.com/gpu.memory"
"""Node label of GPU Feature Discovery: the memory of one GPU in MiB."""


class NodeView(msgspec.Struct, frozen=True):
    """What a node offers of accelerators."""

    name: str
    product: str = ""
    """Value of the label nvidia.com/gpu.product; "" without one."""
    memory_mib: int = 0
    """Value of the label nvidia.com/gpu.memory; 0 without one."""
    allocatable: Mapping[str, int] = field(default_factory=dict)
    """Extended resources, by name."""
    taken: Mapping[str, int] = field(default_factory=dict)
    """Of these, what pods on the node hold, whoever they belong to."""

    def offers(self, resource: str) -> int:
        """Return how many of an extended resource the node has."""
        return self.allocatable.get(resource, 0)

    def free(self, resource: str) -> int:
        """Return how many of them no pod holds."""
        return self.offers(resource) - self.taken.get(resource, 0)


class Nodes(msgspec.Struct, frozen=True):
    """The cluster's nodes with accelerators, looked at only while a pod waits for one."""

    views: tuple[NodeView, ...] | None = None
    """None: not looked at."""
    unknown: str = ""
    """Why they cannot be."""


class Contested(msgspec.Struct, frozen=True):
    """A child that somebody changes back as often as it is applied."""

    stamp: str
    """Of what is applied, see `diff.stamp`; as soon as another is wanted, the contest is over."""
    fields: tuple[str, ...] = ()
    """Dotted paths of what is changed back; none where the child is deleted."""
    held: bool = False
    """Whether it is too soon to apply it again."""


class Observed(msgspec.Struct, frozen=True):
    """Everything that a plan depends on, besides the time."""

    owner: Owner
    spec: HybridInferenceSpec | None
    """None when the stored spec cannot be read; `spec_error` says why."""
    settings: Settings
    spec_error: str = ""
    status: Object = field(default_factory=dict)
    """The resource's status as last written."""
    children: Mapping[Ref, Object] = field(default_factory=dict)
    """Live children by kind and name; only those that this resource owns. Trimmed: `metadata` with
    names, labels, annotations, generation and deletionTimestamp, and of managedFields who owns
    `spec.replicas`; the content whole; a Deployment's status."""
    foreign: frozenset[Ref] = frozenset()
    """Objects with a name of ours that somebody else made; never touched, reported."""
    pods: tuple[PodView, ...] = ()
    reports: tuple[RouterReport, ...] = ()
    nodes: Nodes = field(default_factory=Nodes)
    contested: Mapping[Ref, Contested] = field(default_factory=dict)
    offer: Object | None = None
    """The ConfigMap that offers a calibration state; not a child."""
    scaling: Mapping[str, bool] | None = None
    """By model that autoscaling decides on, whether its load is seen; None: not known yet."""

    @property
    def outcomes(self) -> Mapping[str, Outcomes]:
        """Answers judged, over all routers, by calibration state."""
        found: dict[str, Outcomes] = {}
        for report in self.reports:
            for state, each in report.outcomes.items():
                known = found.get(state, Outcomes())
                found[state] = Outcomes(known.good + each.good, known.bad + each.bad)
        return found


class Event(msgspec.Struct, frozen=True):
    """A Kubernetes event on the resource."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Plan(msgspec.Struct, frozen=True):
    """What to do, in this order: apply, delete, status, events."""

    apply: tuple[Object, ...] = ()
    """Children that differ from what they should be, whole, for server-side apply."""
    delete: tuple[Ref, ...] = ()
    """Children that the spec no longer names."""
    status: Object = field(default_factory=dict)
    """The status that should stand, whole but for figures, which `control.status` adds. Empty where
    nothing may be written: paused, or being deleted."""
    events: tuple[Event, ...] = ()
    requeue: float | None = None
    """Seconds after which to look again although nothing changed; None: not before something
    does."""
