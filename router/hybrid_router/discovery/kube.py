"""List and watch: the two calls of the Kubernetes API that a router needs, by its own client.

No client library: it would cost more memory than the router itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from hybrid_router.discovery.trust import Trust
from hybrid_router.upstream.errors import TimedOut

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from hybrid_router.upstream.client import Stream, UpstreamClient

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

CONNECT_SECONDS = 5.0
LIST_SECONDS = 15.0
WATCH_SECONDS = 300
"""After which the API server ends a watch by itself; it is then continued where it ended."""
SILENCE_SECONDS = 75.0
"""A watch that says nothing for so long may be a dead connection: bookmarks come every minute."""
MAX_LINE_BYTES = 8 * 1024 * 1024

_OK, _GONE = 200, 410


class KubeError(Exception):
    """The API server answered, but not with what was asked for; the text says what it answered."""


class GoneError(KubeError):
    """The version to continue from is no longer known there: list again."""


class SilentError(KubeError):
    """A watch said nothing for so long that its connection may be dead."""


class NotInClusterError(Exception):
    """There is nothing to tell where the API server is."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how to speak to it; the files are read again as they rotate."""

    url: str
    token_file: str | None
    ca_file: str | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Access:
        """Read what every pod has in its environment, or what `HINF_KUBE_*` say instead.

        Raises:
            NotInClusterError: neither is there.
        """
        url = environ.get("HINF_KUBE_API")
        if url is not None:
            token, ca = environ.get("HINF_KUBE_TOKEN_FILE"), environ.get("HINF_KUBE_CA_FILE")
            return cls(url.rstrip("/"), token, ca)
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise NotInClusterError(
                "KUBERNETES_SERVICE_HOST is not set: this is no pod; set HINF_KUBE_API (and "
                "HINF_KUBE_TOKEN_FILE, HINF_KUBE_CA_FILE), or leave --watch-configmap out"
            )
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", f"{_ACCOUNT}/token", f"{_ACCOUNT}/ca.crt")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects: a collection's path and a selector."""

    path: str
    field_selector: str | None = None
    label_selector: str | None = None

    def query(self, **more: str) -> str:
        """Return path and query of a request for them."""
        selectors = {"fieldSelector": self.field_selector, "labelSelector": self.label_selector}
        given = {name: value for name, value in selectors.items() if value is not None}
        return f"{self.path}?{urlencode({**given, **more})}"


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class Event(msgspec.Struct):
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: msgspec.Raw


class _Status(msgspec.Struct):
    message: str = ""
    code: int = 0


_list_decoder = msgspec.json.Decoder(_List)
_event_decoder = msgspec.json.Decoder(Event)
_status_decoder = msgspec.json.Decoder(_Status)


class KubeAPI:
    """Lists and watches."""

    def __init__(self, access: Access, client: UpstreamClient) -> None:
        self._access = access
        self._client = client
        self._trust = Trust()
        self._trust.follow([access.ca_file] if access.ca_file is not None else [])

    async def list_now(self, what: Selection) -> tuple[list[msgspec.Raw], str]:
        """Return the objects as they are now, and the version to watch from.

        Raises:
            KubeError: it was refused, or is not a list.
            UpstreamError: the API server could not be asked.
        """
        answer = await self._client.fetch(
            "GET",
            self._access.url + what.query(),
            headers=self._headers(),
            timeout=LIST_SECONDS,
            tls=self._tls(),
        )
        if answer.status != _OK:
            raise _refusal(answer.status, answer.body)
        try:
            found = _list_decoder.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise KubeError("the API server's answer is not a list") from None
        return found.items, found.metadata.resource_version

    async def watch(self, what: Selection, version: str) -> AsyncGenerator[Event, None]:
        """Yield what happens after `version`, until the API server ends the watch.

        Raises:
            GoneError: `version` is too old.
            SilentError: nothing came for `SILENCE_SECONDS`.
            KubeError: it was refused, or a line is not an event.
            UpstreamError: the connection broke.
        """
        query = what.query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(WATCH_SECONDS),
        )
        stream = await self._client.stream(
            "GET",
            self._access.url + query,
            headers=self._headers(),
            connect_timeout=CONNECT_SECONDS,
            tls=self._tls(),
        )
        try:
            if stream.status != _OK:
                body = b"".join([part async for part in stream.chunks(CONNECT_SECONDS)])
                raise _refusal(stream.status, body)
            async for line in _lines(stream):
                yield _event(line)
        except TimedOut:
            raise SilentError(f"no news for {SILENCE_SECONDS:g} s") from None
        finally:
            stream.abort()

    def _tls(self) -> ssl.SSLContext | None:
        if not self._access.url.startswith("https:"):
            return None
        self._trust.poll()
        return self._trust.context(self._access.ca_file)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"accept", b"application/json")]
        if self._access.token_file is not None:
            try:
                token = Path(self._access.token_file).read_bytes().strip()  # it rotates hourly
            except OSError:
                raise KubeError("the service account's token cannot be read") from None
            headers.append((b"authorization", b"Bearer " + token))
        return headers


async def _lines(stream: Stream) -> AsyncIterator[bytes]:
    """Yield the complete lines of an answer; what follows the last newline was cut off."""
    rest = b""
    async for part in stream.chunks(SILENCE_SECONDS):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise KubeError("a line of the watch is too long")


def _event(line: bytes) -> Event:
    try:
        event = _event_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KubeError("a line of the watch is not an event") from None
    if event.type == "ERROR":
        raise _refusal(0, bytes(event.object))
    return event


def _refusal(status: int, body: bytes) -> KubeError:
    """Return the API server's own words for a refusal; they name resources, never their content."""
    try:
        said = _status_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = _Status()
    code = status or said.code
    kind = GoneError if code == _GONE else KubeError
    return kind(f"the API server answered {code}: {said.message or 'no message'}")
