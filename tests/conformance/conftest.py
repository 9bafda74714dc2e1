"""A router between real clients and scripted models, one for each dialect that they speak."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import uvloop

from tests.support.models import speaks_chat, speaks_messages
from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream


def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001  pytest passes by name
    """Run each test once, on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def between():
    """Serve `chat` and `claude`: two models, each asked in its own dialect only."""
    async with Upstream(speaks_chat) as chat, Upstream(speaks_messages) as claude:
        backends = {
            "chat": backend(chat.url),
            "claude": backend(claude.url, dialect="anthropic", trust="external", auth="x-api-key"),
        }
        async with router(table(backends, policy={"attempts": 1})) as r:
            yield r, chat, claude


@pytest.fixture
async def served():
    """Return the router, and the two upstreams behind it."""
    async with between() as found:
        yield found
