"""The API server over HTTP: get, list, watch, server-side apply, delete.

lightkube brings what is easily done wrong: kubeconfig, service accounts whose tokens rotate, exec
plugins, TLS. Objects stay the dicts that the API server speaks, since a round trip through typed
models would drop fields that those do not know; and deletion with preconditions, bookmarks and
metadata-only reads are things that its own client does not offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from lightkube.config.client_adapter import ConnectionParams
from lightkube.core.exceptions import ConfigError

from hybrid_operator.kube.errors import KubeError, NotFound, Unavailable, from_status
from hybrid_operator.kube.kinds import key_of
from hybrid_operator.kube.kubeconfig import ConnectError, configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping

    from hybrid_operator.kube.kinds import Key, Kind

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

USER_AGENT = "hybridinference-operator"
"""By this name we stand in the API server's audit log."""
CALL_SECONDS = 5.0
"""A call as a whole. With the Lease's numbers it makes sure that no write of ours is under way any
more when another operator may begin (see `control.leader`)."""
SILENCE_SECONDS = 90.0
"""A watch that says nothing for so long is dead: the API server sends a bookmark every minute."""
PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """A whole list, as of one resource version."""

    items: list[Object]
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch; `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class Connection:
    """How the API server is reached."""

    http: httpx2.AsyncClient
    namespace: str
    """That the credentials default to."""
    inside: bool
    """Whether this process runs in a pod of the cluster."""


def connect(context: str | None = None) -> Connection:
    """Make ready to reach the API server; nothing is sent yet.

    A service account wins where one is mounted and no context is named, then KUBECONFIG, then
    ~/.kube/config.

    Raises:
        ConnectError: there is neither, or what there is cannot be used.
    """
    config = configuration(context)
    try:
        options = ConnectionParams(timeout=httpx2.Timeout(CALL_SECONDS)).httpx_params(config)
    except (ConfigError, KeyError, OSError, ValueError) as error:
        where = config.fname or "the pod's service account"
        raise ConnectError(f"{where}: context {config.context_name}: {error}") from None
    # Every watch holds a connection of its own for as long as it runs.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    headers = {"user-agent": USER_AGENT}
    http = httpx2.AsyncClient(**options, limits=limits, headers=headers)
    return Connection(http, config.namespace, inside=bool(config.user and config.user.token_file))


class Kube:
    """One API server."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind; for ours, whether the CRD is installed."""
        root, what = f"/apis/{kind.api_version}", f"discover {kind.api_version}"
        try:
            known = await self._call("GET", root, what)
        except NotFound:
            return False
        return any(entry["name"] == kind.plural for entry in known["resources"])

    async def get(self, kind: Kind, key: Key, *, accept: str = "application/json") -> Object:
        """Return one object; with `METADATA_ONLY`, its metadata alone.

        Raises:
            NotFound: it is not there.
            KubeError: see `errors`; so for every method here.
        """
        path = kind.path(key.namespace, key.name)
        what = f"get {kind.plural} {key.name} in namespace {key.namespace}"
        return await self._call("GET", path, what, headers={"accept": accept})

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        selector: str = "",
        *,
        fields: str = "",
        keep: Callable[[Object], Object] = lambda item: item,
    ) -> Page:
        """Return all objects of a kind in a namespace (None: everywhere), in pages of 500.

        `keep` makes of each what is returned, page by page: no more than one page is held whole.
        """
        items: list[Object] = []
        params = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        params |= {"fieldSelector": fields} if fields else {}
        what = f"list {kind.plural} {_where(namespace)}"
        named = {"apiVersion": kind.api_version, "kind": kind.name}
        while True:
            body = await self._call("GET", kind.path(namespace), what, params=params)
            # The items of a list of a built-in kind come without these two.
            items += [keep(named | item) for item in body["items"]]
            metadata = body["metadata"]
            if not metadata.get("continue"):
                return Page(items, metadata["resourceVersion"])
            params["continue"] = metadata["continue"]

    async def watch(
        self, kind: Kind, namespace: str | None, version: str, selector: str = ""
    ) -> AsyncIterator[Change]:
        """Yield what changes after `version`, until the API server ends the stream.

        Raises:
            Gone: `version` is too old; list again.
        """
        params = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
        if selector:
            params["labelSelector"] = selector
        what = f"watch {kind.plural} {_where(namespace)}"
        timeout = httpx2.Timeout(CALL_SECONDS, read=SILENCE_SECONDS)
        path = kind.path(namespace)
        async with (
            _reachable(what),
            self._http.stream("GET", path, params=params, timeout=timeout) as response,
        ):
            await _check(response, what)
            async for line in lines(response.aiter_bytes()):
                yield _change(line, what)

    async def apply(
        self, kind: Kind, obj: Mapping[str, Any], *, manager: str, force: bool
    ) -> Object:
        """Server-side apply of a whole object; return it as it stands afterwards."""
        return await self._apply(kind, obj, None, {"fieldManager": manager, "force": _flag(force)})

    async def apply_status(self, kind: Kind, obj: Mapping[str, Any], *, manager: str) -> Object:
        """Server-side apply of `obj["status"]`; return the object as it stands afterwards.

        With `metadata.uid`, an object of that name that is another one is a `Conflict`.
        """
        return await self._apply(kind, obj, "status", {"fieldManager": manager, "force": "true"})

    async def scale(self, kind: Kind, key: Key, replicas: int, *, manager: str) -> None:
        """Set `spec.replicas` through the scale subresource, and own it from now on."""
        obj = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {"replicas": replicas},
        }
        await self._apply(kind, obj, "scale", {"fieldManager": manager, "force": "true"})

    async def create(self, kind: Kind, obj: Mapping[str, Any], *, manager: str) -> Object:
        """Create an object that must not exist yet (else `AlreadyExists`)."""
        namespace = obj["metadata"]["namespace"]
        what = f"create {kind.plural} {_where(namespace)}"
        return await self._call(
            "POST", kind.path(namespace), what, params={"fieldManager": manager}, body=obj
        )

    async def replace(self, kind: Kind, obj: Mapping[str, Any], *, manager: str) -> Object:
        """Replace an object of the stated resource version (else `Conflict`)."""
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        what = f"update {kind.plural} {name} in namespace {namespace}"
        path = kind.path(namespace, name)
        return await self._call("PUT", path, what, params={"fieldManager": manager}, body=obj)

    async def merge(
        self, kind: Kind, key: Key, patch: Mapping[str, Any], *, manager: str
    ) -> Object:
        """Merge-patch an object: lists are replaced whole."""
        return await self._call(
            "PATCH",
            kind.path(key.namespace, key.name),
            f"patch {kind.plural} {key.name} in namespace {key.namespace}",
            params={"fieldManager": manager},
            headers={"content-type": MERGE},
            body=patch,
        )

    async def disown(self, kind: Kind, obj: Mapping[str, Any], manager: str) -> None:
        """Forget that `manager` owns fields of `obj`, given as it stands (else `Conflict`)."""
        metadata = obj["metadata"]
        kept = [each for each in metadata["managedFields"] if each["manager"] != manager]
        patch = {"resourceVersion": metadata["resourceVersion"], "managedFields": kept}
        await self.merge(kind, key_of(obj), {"metadata": patch}, manager=manager)

    async def delete(self, kind: Kind, key: Key, uid: str) -> None:
        """Delete the object of that name if it is the one with that uid (else `Conflict`)."""
        what = f"delete {kind.plural} {key.name} in namespace {key.namespace}"
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._call("DELETE", kind.path(key.namespace, key.name), what, body=options)

    async def proxy_get(self, kind: Kind, key: Key, port: int, path: str) -> str:
        """Return what a pod answers at a path, by way of the API server."""
        what = f"get {kind.plural}/proxy {key.name} in namespace {key.namespace}"
        target = kind.path(key.namespace, f"{key.name}:{port}", f"proxy{path}")
        async with _reachable(what), asyncio.timeout(CALL_SECONDS):
            response = await self._http.get(target)
            await _check(response, what)
            return response.text

    async def _apply(
        self, kind: Kind, obj: Mapping[str, Any], sub: str | None, params: dict[str, str]
    ) -> Object:
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        plural = kind.plural if sub is None else f"{kind.plural}/{sub}"
        what = f"patch {plural} {name} in namespace {namespace}"
        path, headers = kind.path(namespace, name, sub), {"content-type": APPLY}
        return await self._call("PATCH", path, what, params=params, headers=headers, body=obj)

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Object:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} | dict(headers or {})
        async with _reachable(what), asyncio.timeout(CALL_SECONDS):
            response = await self._http.request(
                method, path, params=params, headers=headers, content=content
            )
            await _check(response, what)
            answer: Object = msgspec.json.decode(response.content)
            return answer


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    r"""Split a stream at line feeds, and nowhere else.

    The HTTP client's own splitting also takes U+0085 and U+2028 for line ends, which JSON may
    hold as they are.
    """
    rest: list[bytes] = []
    async for chunk in chunks:
        *ended, last = chunk.split(b"\n")
        for part in ended:
            line = b"".join([*rest, part])
            rest.clear()
            if line:
                yield line
        if last:
            rest.append(last)


def _change(line: bytes, what: str) -> Change:
    event = msgspec.json.decode(line)
    obj: Object = event["object"]
    if event["type"] == "ERROR":
        raise from_status(int(obj.get("code") or 0), obj, what)
    return Change(event["type"], obj)


async def _check(response: httpx2.Response, what: str) -> None:
    if response.is_success:
        return
    content = await response.aread()
    try:
        status = msgspec.json.decode(content)
    except msgspec.MsgspecError:
        status = {}
    raise from_status(response.status_code, status if isinstance(status, dict) else {}, what)


@contextlib.asynccontextmanager
async def _reachable(what: str) -> AsyncIterator[None]:
    """Turn the HTTP client's ways of not getting an answer into `Unavailable`."""
    try:
        yield
    except KubeError:
        raise
    except TimeoutError:
        raise Unavailable(f"cannot {what}: no answer within {CALL_SECONDS:g} s") from None
    except httpx2.TimeoutException:
        raise Unavailable(f"cannot {what}: the API server went silent") from None
    except (httpx2.HTTPError, ConfigError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"cannot {what}: no connection to the API server ({reason})") from None
    except msgspec.MsgspecError:
        raise Unavailable(f"cannot {what}: the API server's answer is not JSON") from None


def _where(namespace: str | None) -> str:
    return "in all namespaces" if namespace is None else f"in namespace {namespace}"


def _flag(value: bool) -> str:  # noqa: FBT001  its one parameter is the value
    return "true" if value else "false"
