"""Whom a new connection goes to: the address that its host has by then.

On asyncio's own loop, whose resolver is the `socket` module's; uvloop asks libc itself.
"""

import json
import socket

import pytest

from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, completion, response, says

HEADERS = ("content-type: application/json", "connection: close")


def once(content):
    """Answer, and end the connection."""
    body = json.dumps(completion(content)).encode()
    return says(response(200, body, headers=HEADERS), close=True)


@pytest.fixture
def names(monkeypatch):
    """Addresses by name, for whoever asks the system's resolver."""
    found: dict[str, str] = {}
    ask = socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        return ask(found.get(host, host), port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return found


async def test_every_new_connection_asks_for_the_address_anew(names):
    """A Service that moves, or a headless one whose pods change, keeps its name only."""
    async with (
        Upstream(once("from the first")) as first,
        Upstream(once("from the second"), host="127.0.0.2", port=first.port) as second,
        router(table({"only": backend(f"http://engine.test:{first.port}/v1")})) as r,
    ):
        names["engine.test"] = first.host
        before = await r.chat()
        names["engine.test"] = second.host
        after = await r.chat()
    texts = [r.json()["choices"][0]["message"]["content"] for r in (before, after)]
    assert texts == ["from the first", "from the second"]
    assert (len(first.received), len(second.received)) == (1, 1)
