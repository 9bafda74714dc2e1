"""`status`: what the operator tells.

Every list and text has a maximum, so that the whole stays below 32 KiB; a test holds it to that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from hybrid_operator.api.base import ATOMIC, LIST_TYPE, MAP_BY_NAME, MAP_KEYS, Spec

CONDITIONS: dict[str, Any] = {LIST_TYPE: "map", MAP_KEYS: ["type"]}


class Condition(Spec, frozen=True, kw_only=True):
    """One aspect of the resource's state, in Kubernetes' own form."""

    type: Annotated[str, Meta(max_length=32)]
    """Aspect, such as Ready or RouterReady."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Meta(max_length=64)]
    """One word for programs."""
    message: Annotated[str, Meta(max_length=640)] = ""
    """A sentence for people: what is so and what to do."""
    last_transition_time: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    """When status last changed."""
    observed_generation: int | None = None
    """Generation of the resource that this was seen for."""


class MemoryStatus(Spec, frozen=True, kw_only=True):
    """Memory of each GPU of a model, as planned before it starts."""

    verdict: Literal["Fits", "Borderline", "DoesNotFit"]
    """Whether it holds the wanted requests at once. Borderline: it depends on overheads that differ
    between drivers and releases."""
    weights_gib: Annotated[str, Meta(max_length=16)] | None = field(name="weightsGiB", default=None)
    """Weights in GiB (2^30 bytes)."""
    kv_room_gib: Annotated[str, Meta(max_length=16)] | None = field(name="kvRoomGiB", default=None)
    """Room for the KV cache in GiB; negative where the rest does not fit."""
    context_tokens: int | None = None
    """Longest request in tokens."""
    max_concurrent_sequences: int | None = None
    """Requests of that length that fit at once."""


class ScalingStatus(Spec, frozen=True, kw_only=True):
    """What autoscaling decided about one model, and what it knows of a replica."""

    recommended: int
    """Replicas that it wants, or would set in mode Recommend."""
    reason: Annotated[str, Meta(max_length=12)]
    """Why, in one word; the docs have them all."""
    prefill_tokens_per_second: int | None = None
    """Prompt tokens that one replica computes per second when it does nothing else, as learnt."""
    decode_tokens_per_second: int | None = None
    """Tokens that one replica generates per second when it does nothing else, as learnt."""
    cold_start_seconds: Annotated[int, Meta(le=1800)] | None = None
    """Time from asking for a replica until it serves, as seen; missing before one was."""
    decisions: Annotated[
        list[Annotated[str, Meta(max_length=40)]], Meta(max_length=10, extra_json_schema=ATOMIC)
    ] = []
    """The last changes, the newest first: when, from how many to how many replicas, and why."""


class ModelStatus(Spec, frozen=True, kw_only=True):
    """One local model."""

    name: Annotated[str, Meta(max_length=63)]
    """Name of the model."""
    replicas: int = 0
    """Replicas wanted."""
    ready_replicas: int = 0
    """Replicas that answer."""
    version: Annotated[str, Meta(max_length=16)] | None = None
    """vLLM release whose arguments were rendered."""
    image: Annotated[str, Meta(max_length=160)] | None = None
    """Container image of the engine, cut where it is longer."""
    memory: MemoryStatus | None = None
    """Memory of each of its GPUs; missing where too little is known."""
    scaling: ScalingStatus | None = None
    """What autoscaling decided; missing where replicas are not the operator's to choose."""


class RoutingStatus(Spec, frozen=True, kw_only=True):
    """What the routers did, over all of them since they started."""

    requests: int = 0
    """Requests answered."""
    local: int = 0
    """Of these, answered by a local model."""
    api: int = 0
    """Of these, answered by a provider."""


class CalibrationStatus(Spec, frozen=True, kw_only=True):
    """The calibration state that routers decide by."""

    state: Annotated[str, Meta(max_length=16)] | None = None
    """Digest of the one in force."""
    previous: Annotated[str, Meta(max_length=16)] | None = None
    """Digest of the one before, which comes back if the present one does worse."""
    outcomes: int | None = None
    """Outcomes that speak for the one in force."""


class HybridInferenceStatus(Spec, frozen=True, kw_only=True):
    """What the operator tells."""

    observed_generation: int | None = None
    """Generation of the resource that the operator acted on."""
    conditions: Annotated[list[Condition], Meta(max_length=14, extra_json_schema=CONDITIONS)] = []
    """Ready, Degraded, EnginesReady, RouterReady and others; the docs have the table."""
    endpoint: Annotated[str, Meta(max_length=512)] | None = None
    """Base URL for OpenAI clients within the cluster."""
    models_ready: Annotated[str, Meta(max_length=16)] | None = None
    """Local models that answer, of all: 1/2."""
    engine_replicas: Annotated[str, Meta(max_length=16)] | None = None
    """Engine replicas that answer, of all wanted: 3/4."""
    models: Annotated[list[ModelStatus], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """The local models."""
    calibration: CalibrationStatus | None = None
    """The calibration state in force; missing where none is asked for."""
    scaling_memory: Annotated[str, Meta(max_length=1024)] | None = None
    """What autoscaling remembers of the models' load, in their order. Not for people: the operator
    goes on from it when it starts again."""
    routing: RoutingStatus | None = None
    """What the routers did."""
