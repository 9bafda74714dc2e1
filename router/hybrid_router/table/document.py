"""The document as a whole: written canonically, read strictly."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from hybrid_router.table.backends import Backend, Model, Service, Target, check_backend
from hybrid_router.table.calibration import check_calibration
from hybrid_router.table.clients import Keys, Limits
from hybrid_router.table.data import check_data_policy
from hybrid_router.table.policy import Policy
from hybrid_router.table.values import Name, Part, TableError

VERSION = 1
"""The version that this package writes and reads."""

_Shape = TypeVar("_Shape")


class RouteTable(Part, frozen=True):
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
    routers: Service | None = None
    """The Service of the routers: its ready endpoints share what is limited. Without it, one."""
    access_log: bool = False
    """Write one JSON line per request, and one per outcome, to standard output."""


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
        check_backend(f"backends[{name}]", backend)
    for name, model in table.models.items():
        for index, target in enumerate(model.targets):
            _check_reference(f"models[{name}].targets[{index}]", target, table)
    _check_classifier(table)
    if table.policy.comparison is not None:
        _check_reference("policy.comparison.judge", table.policy.comparison.judge, table)
    if table.policy.calibration is not None:
        check_calibration("policy.calibration", table.policy.calibration)
    if table.policy.data is not None:
        check_data_policy("policy.data", table.policy.data)


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
