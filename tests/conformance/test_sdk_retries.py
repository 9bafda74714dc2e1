"""The vendors' clients retry by themselves, but not what the router has tried already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, replies, resets

if TYPE_CHECKING:
    from tests.support.routers import Router
    from tests.support.upstreams import Behaviour

HI: Any = [{"role": "user", "content": "hi"}]
FAILS = {"500": replies(500), "503": replies(503), "429": replies(429), "a reset": resets}


async def ask(surface: str, r: Router) -> None:
    """Ask with a client as it comes, which retries twice."""
    url = f"http://127.0.0.1:{r.port}"
    if surface == "messages":
        async with anthropic.AsyncAnthropic(base_url=url, api_key="x") as claude:
            await claude.messages.create(model="m", max_tokens=9, messages=HI)
        return
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client:
        if surface == "chat":
            await client.chat.completions.create(model="m", messages=HI)
        else:
            await client.responses.create(model="m", input="hi")


@pytest.mark.parametrize("surface", ["chat", "responses", "messages"])
@pytest.mark.parametrize("behaviour", FAILS.values(), ids=FAILS)
async def test_one_call_of_a_client_is_one_round_of_attempts(
    behaviour: Behaviour, surface: str
) -> None:
    async with Upstream(behaviour) as one, Upstream(behaviour) as other:
        backends = {"one": backend(one.url), "other": backend(other.url, trust="external")}
        async with router(table(backends, policy={"attempts": 2})) as r:
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
                await ask(surface, r)
    assert (len(one.received), len(other.received)) == (1, 1)
