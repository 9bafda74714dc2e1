"""`spec.models[]`: small language models that run on the cluster's own GPUs."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from hybrid_operator.api.base import (
    ATOMIC,
    MAP_BY_NAME,
    SET,
    USD,
    AbsolutePath,
    CatalogName,
    DNSLabel,
    Duration,
    Fraction,
    Image,
    ModelName,
    ObjectName,
    Quantity,
    RelativePath,
    Rule,
    SecretValue,
    Shape,
    Spec,
    TimeZone,
    rule,
)
from hybrid_operator.api.pods import PodTemplate

HUB_REPO = Shape(
    "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?",
    "must be a repository of the Hugging Face Hub, as owner/name, without https://",
)
GIT_REVISION = Shape(
    "[A-Za-z0-9][A-Za-z0-9._/-]*",
    "must be a commit, tag or branch: letters, digits and any of . _ / -",
)
RESOURCE_NAME = Shape(
    "[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?",
    "must be an extended resource as domain/name, such as nvidia.com/mig-3g.20gb or amd.com/gpu",
)
VLLM_RELEASE = Shape(
    "(0[.]([89]|[1-9][0-9]+)|[1-9][0-9]*[.][0-9]+)([.][0-9]+)?",
    'must be a vLLM release from 0.8 on, in quotes, such as "0.32" or "0.32.0"',
)
CPU = "cpu"
"""The accelerator type that stands for no GPU at all."""


class HuggingFaceSource(Spec, frozen=True, kw_only=True):
    """A repository on the Hugging Face Hub."""

    repo: Annotated[str, Meta(max_length=200), HUB_REPO]
    """Repository, as owner/name."""
    revision: Annotated[str, Meta(max_length=200), GIT_REVISION] | None = None
    """Commit, tag or branch. Defaults to main; pin a commit, so that every replica serves the same
    weights."""
    token: SecretValue | None = None
    """Access token for gated and private repositories."""


class PVCSource(Spec, frozen=True, kw_only=True):
    """A directory on a PersistentVolumeClaim in the resource's namespace."""

    claim: ObjectName
    """Name of the claim; it is mounted read-only."""
    path: RelativePath = ""
    """Directory within the volume. Defaults to its root."""


class ImageSource(Spec, frozen=True, kw_only=True):
    """An OCI image that holds the weights, mounted as an image volume (from Kubernetes 1.33 on)."""

    reference: Image
    """Image reference, best with a digest."""
    path: RelativePath = ""
    """Directory within the image. Defaults to its root."""


class ModelSource(Spec, frozen=True, kw_only=True):
    """Where the weights come from: exactly one of the members."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "[has(self.huggingFace), has(self.pvc), has(self.image)].filter(x, x).size() == 1",
            "needs exactly one of huggingFace, pvc or image",
            lambda s: sum(each is not None for each in (s.hugging_face, s.pvc, s.image)) == 1,
        ),
    )

    hugging_face: HuggingFaceSource | None = None
    """A repository on the Hugging Face Hub."""
    pvc: PVCSource | None = None
    """A directory on a PersistentVolumeClaim."""
    image: ImageSource | None = None
    """An OCI image that holds the weights."""


class Accelerator(Spec, frozen=True, kw_only=True):
    """What one replica runs on."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "self.type != 'cpu' || !has(self.count) || self.count == 1",
            "cpu is not counted: leave count out, and ask for cores in podTemplate",
            lambda a: a.type != CPU or a.count == 1,
        ),
        rule(
            "self.type != 'cpu' || (!has(self.memory) && !has(self.resourceName))",
            "cpu has no GPU: leave memory and resourceName out, and ask for memory in podTemplate",
            lambda a: a.type != CPU or (a.memory is None and a.resource_name is None),
        ),
    )

    type: DNSLabel
    """Catalogue name of the GPU, such as a10g or h100 (the command hinf gpus lists them), or cpu.
    Any other name is allowed together with memory."""
    stated: Annotated[int, Meta(ge=1, le=64)] | None = field(name="count", default=None)
    """GPUs per replica (the tensor parallel size). Defaults to 1."""
    memory: Quantity | None = None
    """Memory of one GPU, for a type that the catalogue does not know."""
    resource_name: Annotated[str, Meta(max_length=253), RESOURCE_NAME] | None = None
    """Extended resource to request, for MIG slices, AMD and others. Defaults to nvidia.com/gpu."""

    @property
    def count(self) -> int:
        """GPUs per replica: 1 where nothing is stated, which `written` tells from a stated 1."""
        return 1 if self.stated is None else self.stated


class Context(Spec, frozen=True, kw_only=True):
    """How long requests are, and how many are served at once."""

    max_length: Annotated[int, Meta(ge=16, le=16_777_216)] | None = None
    """Longest prompt and answer together, in tokens. Defaults to what the model was trained for, at
    most 8192."""
    concurrency: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    """Requests of that length that one replica should hold at once. Used to plan memory."""


class KVOffload(Spec, frozen=True, kw_only=True):
    """Room in CPU memory for KV cache blocks that the GPU has no room for."""

    size: Quantity
    """CPU memory per replica, over all its GPUs."""


class WeightOffload(Spec, frozen=True, kw_only=True):
    """Weights that stay in CPU memory."""

    size: Quantity
    """CPU memory per GPU."""
    backend: Literal["uva", "prefetch"] | None = None
    """How weights reach the GPU: uva reads them in place, prefetch copies layers ahead. Defaults to
    uva."""


class Engine(Spec, frozen=True, kw_only=True):
    """How vLLM runs."""

    version: Annotated[str, Meta(max_length=16), VLLM_RELEASE] | None = None
    """vLLM release whose arguments are rendered, in quotes. Defaults to the release that the
    operator was tested with."""
    image: Image | None = None
    """Container image. Defaults to vLLM's own image of that release."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled. Defaults to Kubernetes' own rule."""
    kv_offload: KVOffload | None = None
    """Room in CPU memory for KV cache blocks (what --swap-space was)."""
    weight_offload: WeightOffload | None = None
    """Weights that stay in CPU memory."""
    prefix_caching: bool | None = None
    """Whether equal beginnings of prompts are computed once. Defaults to vLLM's own choice for the
    model."""
    chunked_prefill: bool | None = None
    """Whether long prompts are computed in pieces between decoding steps. Defaults to vLLM's own
    choice."""
    args: Annotated[
        list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=64, extra_json_schema=ATOMIC)
    ] = []
    """Raw arguments for vllm serve. They win over what the operator renders."""


class LoRASource(Spec, frozen=True, kw_only=True):
    """Where an adapter comes from: exactly one of the members."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "has(self.huggingFace) != has(self.pvc)",
            "needs exactly one of huggingFace or pvc",
            lambda s: (s.hugging_face is None) != (s.pvc is None),
        ),
    )

    hugging_face: HuggingFaceSource | None = None
    """A repository on the Hugging Face Hub."""
    pvc: PVCSource | None = None
    """A directory on a PersistentVolumeClaim."""


class LoRA(Spec, frozen=True, kw_only=True):
    """A LoRA adapter, served as a model of its own."""

    name: DNSLabel
    """Name that clients ask for."""
    source: LoRASource
    """Where the adapter comes from."""
    rank: Annotated[int, Meta(ge=1, le=512)] | None = None
    """Rank of its matrices (r in its adapter_config.json). Defaults to 16."""


class Objectives(Spec, frozen=True, kw_only=True):
    """What answers must be like, for nine requests of ten."""

    ttft: Duration | None = None
    """Time to the first token, such as 2s."""
    itl: Duration | None = None
    """Time between two tokens, such as 100ms. It also bounds the tokens of the engine's steps
    (`--max-num-batched-tokens`), so that nobody's prompt holds up the tokens of others; a change
    restarts the engine."""


TIME_OF_DAY = Shape("([01][0-9]|2[0-3]):[0-5][0-9]", 'must be a time of the day such as "08:30"')


class Period(Spec, frozen=True, kw_only=True):
    """A time of the week with a least number of replicas of its own."""

    days: Annotated[
        list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]],
        Meta(max_length=7, extra_json_schema=SET),
    ] = []
    """Days on which it begins. Defaults to all."""
    begin: Annotated[str, Meta(max_length=5), TIME_OF_DAY]
    """Time of the day, such as "08:00"."""
    end: Annotated[str, Meta(max_length=5), TIME_OF_DAY]
    """Time of the day at which it ends; not after begin: on the next day."""
    time_zone: TimeZone | None = None
    """Whose clocks tell the time, summer time included: a name of the IANA time zone database such
    as Europe/Berlin. Defaults to UTC."""
    min: Annotated[int, Meta(ge=1, le=1000)]
    """Fewest replicas meanwhile."""


class Scaling(Spec, frozen=True, kw_only=True):
    """How many replicas there are."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "!has(self.min) || !has(self.max) || self.min <= self.max",
            "min must not be above max",
            lambda s: s.min is None or s.max is None or s.min <= s.max,
        ),
        rule(
            "!has(self.targetUtilization) || self.targetUtilization.matches('[1-9]')",
            "targetUtilization must be above 0",
            lambda s: s.target_utilization is None or s.target_utilization.strip("0.") != "",
        ),
    )

    mode: Literal["Auto", "Recommend", "External"] | None = None
    """Auto: the operator follows token throughput. Recommend: it only reports what it would do.
    External: replicas belong to an HPA, KEDA or you. Defaults to Auto."""
    min: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """Fewest replicas. Defaults to 1; 0 lets the model sleep while the API answers."""
    max: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Most replicas. Defaults to 1, or to min where that is higher."""
    target_utilization: Fraction | None = None
    """Share of a replica's measured token throughput to plan for. Defaults to "0.85"."""
    idle_after: Duration | None = None
    """Time without a request after which a model with min 0 sleeps. Defaults to 15m; where the
    prices of GPU and API are stated, to when it no longer earns its cost."""
    objectives: Objectives | None = None
    """What answers must be like; where they are not, replicas are added."""
    schedule: Annotated[list[Period], Meta(max_length=8, extra_json_schema=ATOMIC)] = []
    """Times of the week with a least number of replicas of their own."""
    forecast: bool | None = None
    """Whether demand at the same time of earlier days counts. Defaults to false."""


class Cost(Spec, frozen=True, kw_only=True):
    """What a replica costs."""

    gpu_hour_usd: USD | None = field(name="gpuHourUSD", default=None)
    """Price of one GPU for one hour, in US dollars. "0" means owned: never scaled down for its
    price."""


class Cache(Spec, frozen=True, kw_only=True):
    """Where downloaded weights stay between starts: exactly one of the members."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "has(self.pvc) != has(self.nodePath)",
            "needs exactly one of pvc or nodePath; leave cache out for the pod's own disk",
            lambda c: (c.pvc is None) != (c.node_path is None),
        ),
    )

    pvc: PVCSource | None = None
    """A claim that many nodes can mount, downloaded to once."""
    node_path: AbsolutePath | None = None
    """A directory on each node. No effect yet: the pod's own disk is used."""


class Architecture(Spec, frozen=True, kw_only=True):
    """Shape of a model that the catalogue lacks, from its config.json; used to plan memory."""

    layers: Annotated[int, Meta(ge=1, le=10_000)]
    """Transformer layers (num_hidden_layers)."""
    kv_heads: Annotated[int, Meta(ge=1, le=10_000)]
    """Key-value heads (num_key_value_heads)."""
    head_dimension: Annotated[int, Meta(ge=1, le=100_000)]
    """Size of one head (head_dim)."""
    parameters: Annotated[int, Meta(ge=1)]
    """Number of parameters, embeddings included."""


class ModelSpec(Spec, frozen=True, kw_only=True):
    """A small language model on the cluster's own accelerators."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "has(self.source) || !has(self.architecture)",
            "architecture describes a model that the catalogue lacks, "
            "so source must say where its weights are",
            lambda m: m.source is not None or m.architecture is None,
        ),
    )

    name: DNSLabel
    """Name that clients ask for, and part of the names of its objects. A catalogue name without
    dots, such as llama-3-8b, brings source and architecture; one with dots goes into catalog."""
    served_names: Annotated[list[ModelName], Meta(max_length=16, extra_json_schema=SET)] = []
    """Further names that clients may ask for."""
    catalog: CatalogName | None = None
    """Catalogue entry that the model is built on, such as llama-3.3-70b for a model that is called
    llama-3-3-70b. Defaults to name. With a name and a source of its own the model counts as
    fine-tuned for what the classifier presumes of it (hinf route)."""
    source: ModelSource | None = None
    """Where the weights come from. Defaults to the catalogue's source."""
    accelerator: Accelerator
    """What one replica runs on."""
    quantization: Literal["none", "fp8", "awq", "gptq", "bitsandbytes", "mxfp4"] | None = None
    """Format of the weights. Defaults to what the source's config says."""
    context: Context | None = None
    """How long a request may be, and how many are expected at once."""
    engine: Engine | None = None
    """How vLLM runs."""
    loras: Annotated[list[LoRA], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """LoRA adapters on top of the model."""
    scaling: Scaling | None = None
    """How many replicas there are. Defaults to one."""
    cost: Cost | None = None
    """What a replica costs."""
    cache: Cache | None = None
    """Where downloaded weights stay between starts. Defaults to the pod's own disk."""
    architecture: Architecture | None = None
    """Shape of a model that the catalogue lacks."""
    pod_template: PodTemplate | None = None
    """Partial pod template, merged over the operator's: metadata.labels, metadata.annotations and
    spec. The container of vLLM is called engine."""
