"""A small Kubernetes API server on loopback: list and watch, as the real one speaks them.

HTTP/1.1 with chunked JSON lines, resource versions, selectors, bookmarks, compaction (410 Gone) and
connections that can be cut. It holds what a test puts into it, and nothing is checked or defaulted.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
_HEAD = "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"


def config_map(name: str, data: dict[str, str], namespace: str = "default") -> Object:
    """Return a ConfigMap."""
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def endpoint_slice(
    service: str,
    endpoints: list[Object],
    *,
    name: str | None = None,
    port: int = 8000,
    family: str = "IPv4",
) -> Object:
    """Return an EndpointSlice of `service` in the namespace `default`."""
    labels = {"kubernetes.io/service-name": service}
    metadata = {"name": name or f"{service}-1", "namespace": "default", "labels": labels}
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    return {
        "metadata": metadata,
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }


def endpoint(address: str, **conditions: bool) -> Object:
    """Return an endpoint with the given conditions."""
    return {"addresses": [address], "conditions": conditions}


@dataclass
class FakeKubeAPI:
    """The server; `async with` starts and stops it."""

    token: str | None = None
    """If set, requests need it as bearer token."""
    refuse: int | None = None
    """If set, every request is answered with this status."""
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Targets asked for, in order."""
    _version: int = 100
    _objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    _events: list[tuple[int, str, str, Object]] = field(default_factory=list)
    _oldest: int = 100
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before if there was one."""
        port = urlsplit(self.url).port or 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Refuse new connections and cut those that are open."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut every open connection without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def put(self, kind: str, thing: Object) -> None:
        """Create or replace an object; `kind` is `configmaps` or `endpointslices`."""
        key = (kind, thing["metadata"]["name"])
        await self._record("MODIFIED" if key in self._objects else "ADDED", key, thing)

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        await self._record("DELETED", (kind, name), self._objects[kind, name])

    async def bookmark(self) -> None:
        """Send a bookmark to every watch."""
        await self._record("BOOKMARK", ("", ""), {"metadata": {}})

    async def compact(self) -> None:
        """Forget history: a watch that continues from before now gets 410 Gone."""
        self._version += 1
        self._oldest = self._version
        self._events.clear()

    async def _record(self, event: str, key: tuple[str, str], thing: Object) -> None:
        self._version += 1
        thing = json.loads(json.dumps(thing))
        thing["metadata"]["resourceVersion"] = str(self._version)
        if event == "DELETED":
            self._objects.pop(key)
        elif event != "BOOKMARK":
            self._objects[key] = thing
        async with self._news:
            self._events.append((self._version, event, key[0], thing))
            self._news.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        self.requests.append(target)
        status = self.refuse or 200
        if self.token is not None and f"authorization: Bearer {self.token}\r\n" not in head:
            status = 401
        if status != 200:
            await self._answer(writer, status, _failure(status, "refused by the test"))
            return True
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind = url.path.rsplit("/", 1)[1]
        if query.get("watch") == "true":
            await self._watch(writer, kind, query)
            return False
        items = [t for (k, _), t in self._objects.items() if k == kind and _selected(t, query)]
        listing = {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        await self._answer(writer, 200, listing)
        return True

    async def _answer(self, writer: asyncio.StreamWriter, status: int, body: Object) -> None:
        raw = json.dumps(body).encode()
        head = _HEAD.format(status=status) + f"content-length: {len(raw)}\r\n\r\n"
        writer.write(head.encode() + raw)
        await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter, kind: str, query: dict[str, str]) -> None:
        seen = int(query["resourceVersion"])
        writer.write((_HEAD.format(status=200) + "transfer-encoding: chunked\r\n\r\n").encode())
        if seen < self._oldest:
            gone = {"type": "ERROR", "object": _failure(410, "too old resource version")}
            _write_line(writer, gone)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return
        while True:
            for version, event, of, thing in list(self._events):
                if version > seen and of in (kind, "") and (not of or _selected(thing, query)):
                    _write_line(writer, {"type": event, "object": thing})
            seen = self._version
            await writer.drain()
            async with self._news:
                while self._version <= seen:
                    await self._news.wait()


def _write_line(writer: asyncio.StreamWriter, event: Object) -> None:
    line = json.dumps(event).encode() + b"\n"
    half = len(line) // 2  # a line may come in pieces, as from the real one
    for part in (line[:half], line[half:]):
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))


def _failure(code: int, message: str) -> Object:
    return {"kind": "Status", "status": "Failure", "message": message, "code": code}


def _selected(thing: Object, query: dict[str, str]) -> bool:
    field_selector = query.get("fieldSelector")
    if field_selector is not None:
        return bool(thing["metadata"]["name"] == field_selector.removeprefix("metadata.name="))
    selector = query.get("labelSelector")
    if selector is None:
        return True
    label, _, values = selector.partition(" in ")
    return thing["metadata"].get("labels", {}).get(label) in values.strip("()").split(",")
