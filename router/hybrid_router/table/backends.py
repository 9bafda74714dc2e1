"""Who answers: backends, and the names that lead to them."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from hybrid_router.table.values import (
    Name,
    Part,
    RateLimits,
    Seconds,
    SecretRef,
    TableError,
    USDPerMillionTokens,
)


class Service(Part, frozen=True):
    """A Kubernetes Service, followed through its EndpointSlices."""

    namespace: Name
    name: Name
    port: Name | None = None
    """The port's name; the first one without it."""


class Timeouts(Part, frozen=True):
    """Limits of one attempt."""

    connect: Seconds = 2.0
    first_byte: Seconds = 30.0
    """To the first event that carries something generated, or to the whole unstreamed answer."""
    idle: Seconds = 30.0
    """Between two chunks, once something generated has arrived; back-pressure stops the clock."""
    request: Seconds = 600.0
    """One attempt as a whole."""


class Price(Part, frozen=True):
    """Of one model, in USD per million tokens."""

    input: USDPerMillionTokens
    output: USDPerMillionTokens
    cached_input: USDPerMillionTokens | None = None


Surface = Literal["chat", "completions", "embeddings", "responses", "messages", "count_tokens"]


class Backend(Part, frozen=True):
    """One place that answers: all replicas of one engine, or one provider's account."""

    trust: Literal["internal", "external"]
    """`internal`: the prompt stays in the cluster."""
    urls: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    """Base URLs, `/v1` included (`http://10.0.0.7:8000/v1`); each is a replica. Or `service`. In a
    URL with a query, which is kept, `{model}` stands for the model that is asked."""
    service: Service | None = None
    provider: str | None = None
    """For people and metrics: `openai`, `azure-openai` ...; a local engine has none."""
    dialect: Literal["openai", "anthropic"] = "openai"
    engine: Literal["vllm", "other"] = "other"
    """`vllm`: understands vLLM's own fields, which never reach anyone else."""
    surfaces: tuple[Surface, ...] | None = None
    """API surfaces that it has. Without it, what is known of dialect, provider and engine: `chat`,
    `completions`, `embeddings` for OpenAI's, `responses` for OpenAI, Azure and vLLM, `messages` and
    `count_tokens` for Anthropic's and vLLM. Others are translated, or the backend is left out."""
    api_key: SecretRef | None = None
    auth: Literal["bearer", "api-key", "x-api-key"] = "bearer"
    """How the key travels: `Authorization: Bearer`, Azure's `api-key`, Anthropic's `x-api-key`."""
    ca_file: Name | None = None
    """Certificate authorities (PEM) beside the system's, for this backend's TLS."""
    timeouts: Timeouts = Timeouts()
    cooldown: Seconds = 10.0
    """How long a replica that failed repeatedly is left alone before it is probed again."""
    max_concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests under way at one replica, from all routers together. Each router takes its share of
    what the ready replicas make of it; a local model's further requests wait, or spill."""
    begin_within: Seconds | None = None
    """A local model's answers should begin within so many seconds: a request that would wait behind
    others for longer goes to another target of its model, where one is faster."""
    prefill_tokens_per_second: Annotated[float, Meta(gt=0)] | None = None
    """Prompt tokens/s that a replica is thought to compute: for `beginWithin`, until a router has
    learnt what it does. Another number starts that anew."""
    rate_limits: RateLimits | None = None
    """Of the account. Nothing is sent that would exceed them."""
    prices: dict[str, Price] = {}
    """By upstream model name."""


Capability = Literal[
    "chat",
    "completions",
    "embeddings",
    "tools",
    "structured-output",
    "logprobs",
    "vision",
    "audio",
    "n",
]


class Target(Part, frozen=True):
    """A model at a backend."""

    backend: Name
    """A key of `backends`."""
    model: Name
    """The name that the backend knows it by."""
    max_context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Prompt and answer together; a request estimated above it goes elsewhere."""
    lacks: tuple[Capability, ...] = ()
    """What this model is known not to do; requests that need it go elsewhere."""


Prior = Annotated[float, Meta(gt=0, lt=1)]


class Model(Part, frozen=True):
    """What a client's `model` leads to.

    An explicit name lists the one model that may answer. An alias lists several, in order of
    preference, and is `classified` when the prompt decides between its internal and its external
    targets.
    """

    targets: Annotated[tuple[Target, ...], Meta(min_length=1, max_length=64)]
    classified: bool = False
    priors: Annotated[dict[Name, Prior], Meta(max_length=64)] = {}
    """What the first internal target is known to do: P(good enough) of an average task, by intent.
    The classifier `embedded` takes these for those of its model file. Intents that are not named,
    or that the file holds no prior of, stay as they are shipped."""
    owned_by: str = "hybrid-inference"
    listed: bool = True
    """Whether `/v1/models` shows it."""


def check_backend(where: str, backend: Backend) -> None:
    """Check what a schema cannot say.

    Raises:
        TableError: with `where`, the backend's place in the document.
    """
    if bool(backend.urls) == (backend.service is not None):
        raise TableError(f"{where}: needs either urls or service")
    for url in backend.urls:
        _check_url(f"{where}.urls", url)
    key = backend.api_key
    if key is not None and (key.file is None) == (key.env is None):
        raise TableError(f"{where}.apiKey: needs either file or env")


def _check_url(where: str, url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise TableError(f"{where}: {url!r} does not start with http:// or https://")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise TableError(f"{where}: {url!r} is not a URL: {error}") from None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise TableError(f"{where}: {url!r} is not a URL with a host, in plain ASCII")
    if parts.username is not None:
        raise TableError(f"{where}: holds a user name; a secret belongs in apiKey")
