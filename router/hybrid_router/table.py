"""The RouteTable: what a router serves, as one JSON document.

The operator writes it, the router reads it, and nothing in it belongs to Kubernetes: a table in a
file is enough to run a router on a laptop. Unknown optional fields are ignored, so that an operator
may be one release ahead of its routers; an unknown `version` is refused, and the router keeps the
last good table.

Secrets never stand in the table. They are named by file (a mounted Secret) or by environment
variable, and read by the router alone.

Units: seconds for times, bytes for sizes, USD per million tokens for prices.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

VERSION = 1
"""The version that this package writes and reads."""

Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[ -~]*(?!\n)$")]
"""Printable ASCII: names travel in response headers and in metric labels."""
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
USDPerMillionTokens = Annotated[float, Meta(ge=0)]


_Shape = TypeVar("_Shape")


class TableError(ValueError):
    """The document is not a RouteTable that this router serves; the message says where and why."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Frozen values, camelCase in JSON, defaults left out."""


class Limits(_Table, frozen=True):
    """What one router accepts from its clients."""

    max_body_bytes: Annotated[int, Meta(ge=1024)] = 32 * 1024 * 1024
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024
    max_target_bytes: Annotated[int, Meta(ge=128)] = 8 * 1024
    max_connections: Annotated[int, Meta(ge=1)] = 16_384
    max_in_flight: Annotated[int, Meta(ge=1)] = 4_096
    """Requests under way at once; one more is answered 503 with Retry-After."""
    max_bytes_in_flight: Annotated[int, Meta(ge=1024)] = 256 * 1024 * 1024
    """Bodies held at once, all requests together; more is answered 503 with Retry-After."""
    header_timeout: Seconds = 10.0
    """From a request's first byte to the end of its header; then again per 64 KiB of its body."""
    keep_alive_timeout: Seconds = 75.0
    write_stall_timeout: Seconds = 30.0
    """How long a client may read nothing while there is something to write."""
    drain_timeout: Seconds = 30.0
    """After SIGTERM: how long requests under way may take to end."""


class SecretRef(_Table, frozen=True):
    """Where the router finds a secret: a file's path or an environment variable's name."""

    file: Name | None = None
    env: Name | None = None


class Service(_Table, frozen=True):
    """A Kubernetes Service, followed through its EndpointSlices."""

    namespace: Name
    name: Name
    port: Name | None = None
    """The port's name; the first one without it."""


class Timeouts(_Table, frozen=True):
    """Limits of one attempt."""

    connect: Seconds = 2.0
    first_byte: Seconds = 30.0
    """To the first event that carries something generated, or to the whole unstreamed answer."""
    idle: Seconds = 30.0
    """Between two chunks, once something generated has arrived; back-pressure stops the clock."""
    request: Seconds = 600.0
    """One attempt as a whole."""


class Price(_Table, frozen=True):
    """Of one model, in USD per million tokens."""

    input: USDPerMillionTokens
    output: USDPerMillionTokens
    cached_input: USDPerMillionTokens | None = None


class Backend(_Table, frozen=True):
    """One place that answers: all replicas of one engine, or one provider's account."""

    trust: Literal["internal", "external"]
    """`internal`: the prompt stays in the cluster."""
    urls: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    """Base URLs, `/v1` included (`http://10.0.0.7:8000/v1`); each is a replica. Or `service`."""
    service: Service | None = None
    provider: str | None = None
    """For people and metrics: `openai`, `azure-openai` ...; a local engine has none."""
    dialect: Literal["openai", "anthropic"] = "openai"
    engine: Literal["vllm", "other"] = "other"
    """`vllm`: understands vLLM's own fields, which never reach anyone else."""
    api_key: SecretRef | None = None
    auth: Literal["bearer", "api-key", "x-api-key"] = "bearer"
    """How the key travels: `Authorization: Bearer`, Azure's `api-key`, Anthropic's `x-api-key`."""
    ca_file: Name | None = None
    """Certificate authorities (PEM) beside the system's, for this backend's TLS."""
    timeouts: Timeouts = Timeouts()
    cooldown: Seconds = 10.0
    """How long a replica that failed repeatedly is left alone before it is probed again."""
    max_concurrency: Annotated[int, Meta(ge=1)] | None = None
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


class Target(_Table, frozen=True):
    """A model at a backend."""

    backend: Name
    """A key of `backends`."""
    model: Name
    """The name that the backend knows it by."""
    max_context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Prompt and answer together; a request estimated above it goes elsewhere."""
    lacks: tuple[Capability, ...] = ()
    """What this model is known not to do; requests that need it go elsewhere."""


class Model(_Table, frozen=True):
    """What a client's `model` leads to.

    An explicit name lists the one model that may answer. An alias lists several, in order of
    preference, and is `classified` when the prompt decides between its internal and its external
    targets.
    """

    targets: Annotated[tuple[Target, ...], Meta(min_length=1, max_length=64)]
    classified: bool = False
    owned_by: str = "hybrid-inference"
    listed: bool = True
    """Whether `/v1/models` shows it."""


class Classifier(_Table, frozen=True):
    """What judges whether the local model is good enough for a prompt."""

    type: Literal["embedded", "slm", "none"] = "embedded"
    """`none`: a classified alias is answered in its targets' order."""
    target: Target | None = None
    """For `slm`: the local model that is asked. Must be internal."""
    timeout: Seconds = 2.0
    """A verdict that takes longer counts as a broken classifier: the API answers."""


class Policy(_Table, frozen=True):
    """How a decision is made and how hard the router tries."""

    classifier: Classifier = Classifier()
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.85
    """Local at this confidence or more."""
    deadline: Seconds = 60.0
    """To the first generated byte, all attempts together."""
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    max_duration: Seconds = 600.0
    """A request as a whole."""
    breaker_failures: Annotated[int, Meta(ge=1)] = 5
    """Failures in a row that open a replica's circuit breaker."""
    local_only: str | None = None
    """A reason why nothing may leave the cluster (a data policy that this release cannot scan for).
    External targets then do not exist for any request: it fails closed."""


class Keys(_Table, frozen=True):
    """Client keys: every file in `directory` holds one key, its name is the key's id."""

    directory: Name


class RouteTable(_Table, frozen=True):
    """The whole document."""

    version: int = VERSION
    name: str = "local"
    """Whose table it is: `namespace/name` of the HybridInference, for logs and metrics."""
    generation: int = 0
    """Of the resource that it was made from."""
    limits: Limits = Limits()
    models: dict[Name, Model] = {}
    backends: dict[Name, Backend] = {}
    policy: Policy = Policy()
    keys: Keys | None = None
    """Without it, every client is served."""


def encode(table: RouteTable) -> bytes:
    """Return the canonical JSON of `table`: sorted keys, no defaults, `version` always there."""
    document = msgspec.to_builtins(table)
    document["version"] = table.version
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)


def content_hash(document: bytes) -> str:
    """Return the 16 hex digits by which operator and router name a table's content."""
    return hashlib.sha256(document).hexdigest()[:16]


def decode(document: bytes) -> RouteTable:
    """Read and check a RouteTable.

    Raises:
        TableError: not JSON, not of the schema, of another version, or with a reference to nothing.
    """
    version = _decode(document, _Version).version
    if version is None:
        raise TableError(f"version: is missing; this router reads version {VERSION}")
    if version != VERSION:
        raise TableError(f"version: {version} is unknown; this router reads version {VERSION}")
    table = _decode(document, RouteTable)
    _check(table)
    return table


class _Version(msgspec.Struct):
    """As much of a document as every version shares."""

    version: int | None = None


def _decode(document: bytes, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(document, type=shape)
    except msgspec.MsgspecError as error:
        raise TableError(str(error)) from None
    except UnicodeDecodeError:
        raise TableError("the document is not UTF-8") from None
    except RecursionError:
        raise TableError("the document is nested too deeply") from None


def _check(table: RouteTable) -> None:
    for name, backend in table.backends.items():
        _check_backend(f"backends[{name}]", backend)
    for name, model in table.models.items():
        for index, target in enumerate(model.targets):
            _check_reference(f"models[{name}].targets[{index}]", target, table)
    _check_classifier(table)


def _check_backend(where: str, backend: Backend) -> None:
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


def _check_reference(where: str, target: Target, table: RouteTable) -> Backend:
    backend = table.backends.get(target.backend)
    if backend is None:
        raise TableError(f"{where}.backend: {target.backend!r} is not a key of backends")
    return backend


def _check_classifier(table: RouteTable) -> None:
    classifier = table.policy.classifier
    if classifier.type != "slm":
        return
    where = "policy.classifier.target"
    if classifier.target is None:
        raise TableError(f"{where}: is missing; type slm asks a local model")
    if _check_reference(where, classifier.target, table).trust != "internal":
        raise TableError(f"{where}: must be internal; a prompt is judged before it may leave")


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of the document (draft 2020-12)."""
    schema: dict[str, object] = msgspec.json.schema(RouteTable)
    return schema
