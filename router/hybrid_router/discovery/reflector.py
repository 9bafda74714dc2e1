"""List, then watch, for ever: one collection of the Kubernetes API, mirrored into a sink.

A watch that ends is continued at the last version seen; 410 Gone starts again with a list; whatever
fails is tried again after a jittered, growing pause. While the API server is away the sink keeps
what it has: nothing is taken back for lack of news.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from hybrid_router.discovery.endpoints import Metadata
from hybrid_router.discovery.kube import Event, GoneError, KubeError, SilentError
from hybrid_router.discovery.trust import TrustMissing
from hybrid_router.upstream.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hybrid_router.discovery.kube import KubeAPI, Selection

_log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two rounds; each failure in a row doubles it."""


class Mirrored(Protocol):
    """An object with metadata, as msgspec decodes it."""

    @property
    def metadata(self) -> Metadata:
        """Name, namespace and version."""
        ...


_Object = TypeVar("_Object", bound=Mirrored)
_Taken_contra = TypeVar("_Taken_contra", bound=Mirrored, contravariant=True)


class Sink(Protocol[_Taken_contra]):
    """Where the objects go."""

    def replaced(self, objects: Sequence[_Taken_contra]) -> None:
        """Take all of them as they are now; others are gone."""

    def changed(self, thing: _Taken_contra) -> None:
        """Take one that is new or different."""

    def gone(self, thing: _Taken_contra) -> None:
        """Forget one."""


class _Bookmark(msgspec.Struct):
    metadata: Metadata


def pause(failures: int, draw: Callable[[], float]) -> float:
    """Return the seconds to wait after so many failures in a row; a little after none.

    Half to one and a half of an exponentially growing pause: many routers that lost the same API
    server do not come back in step.
    """
    typical = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
    return typical * (0.5 + draw())


class Reflector(Generic[_Object]):
    """Mirrors one selection of objects of type `kind` into `sink`."""

    def __init__(
        self, api: KubeAPI, what: Selection, kind: type[_Object], sink: Sink[_Object]
    ) -> None:
        self._api = api
        self._what = what
        self._decoder = msgspec.json.Decoder(kind)
        self._sink = sink
        self._version: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            try:
                await self._round()
            except GoneError:
                self._version = None
            except (KubeError, UpstreamError, TrustMissing) as error:
                self._failed(error)
            except Exception:  # noqa: BLE001  the mirror must not end while the router lives
                _log.exception("following %s failed in an unforeseen way", self._what.path)
                self._failures += 1
            await asyncio.sleep(pause(self._failures, random.random))

    async def _round(self) -> None:
        """List if there is nothing to continue from, then watch until the watch ends."""
        if self._version is None:
            raw, version = await self._api.list_now(self._what)
            objects = [self._decode(item) for item in raw]
            self._sink.replaced(objects)
            self._version = version
            self._succeeded()
        try:
            async with aclosing(self._api.watch(self._what, self._version)) as events:
                async for event in events:
                    self._take(event)
                    self._succeeded()
        except SilentError:
            return  # quiet, or dead: the next watch finds out, and misses nothing

    def _take(self, event: Event) -> None:
        if event.type == "BOOKMARK":
            self._version = msgspec.json.decode(
                event.object, type=_Bookmark
            ).metadata.resource_version
            return
        thing = self._decode(event.object)
        if event.type == "DELETED":
            self._sink.gone(thing)
        else:
            self._sink.changed(thing)
        self._version = thing.metadata.resource_version

    def _decode(self, raw: msgspec.Raw) -> _Object:
        try:
            return self._decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise KubeError(f"an object of {self._what.path} cannot be read: {error}") from None

    def _succeeded(self) -> None:
        if self._failures:
            _log.info("following %s again", self._what.path)
        self._failures = 0

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            _log.warning("following %s: %s; what is known stays in force", self._what.path, error)
