"""What is promised of every request, and is no one feature's own."""

import asyncio
import json

import pytest

from tests.support.routers import PATIENT, Says, backend, router, table, until
from tests.support.upstreams import (
    SSE_HEAD,
    Upstream,
    answers,
    completion,
    delta,
    event,
    finish,
    says,
)

CARD = {"messages": [{"role": "user", "content": "charge 4111 1111 1111 1111"}]}
WHOLE = json.dumps(completion("hello")).encode()
CLOSED = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n"
SAID = event(delta(content="hi")) + event(finish())


async def talks_on(talk):
    """Stream a word every 50 ms, and never end."""
    await talk.send(SSE_HEAD)
    while True:
        await talk.chunk(event(delta(content="on ")))
        await asyncio.sleep(0.05)


async def test_no_stream_lasts_longer_than_the_longest_duration():
    async with Upstream(talks_on) as up:
        lasting = table({"a": backend(up.url, timeouts=PATIENT)}, policy={"maxDuration": 0.4})
        async with router(lasting) as r:
            reply = await asyncio.wait_for(r.chat(stream=True), 30)
            await until(lambda: not up.open)
    events = reply.events()
    assert len(events) > 2
    assert events[-1]["error"]["code"] == "stream_broken"
    assert "[DONE]" not in events


async def test_no_attempt_lasts_longer_than_its_backends_time_for_a_request():
    async with Upstream(talks_on) as up:
        times = {**PATIENT, "request": 0.4}
        async with router(table({"a": backend(up.url, timeouts=times)})) as r:
            reply = await asyncio.wait_for(r.chat(stream=True), 30)
    assert reply.events()[-1]["error"]["code"] == "stream_broken"


ENDED_BY_CLOSING = {
    "a whole answer": (WHOLE, False, True),
    "a whole answer, cut": (WHOLE[:40], False, False),
    "a stream": (SAID + event(b"[DONE]"), True, True),
    "a stream without its terminator": (SAID, True, False),
}


@pytest.mark.parametrize(
    ("body", "stream", "complete"), ENDED_BY_CLOSING.values(), ids=ENDED_BY_CLOSING
)
async def test_a_body_that_ends_with_its_connection_is_complete_only_by_what_it_says(
    body, stream, complete
):
    head = CLOSED % (b"text/event-stream" if stream else b"application/json")
    async with (
        Upstream(says(head + body, close=True)) as up,
        router(table({"a": backend(up.url, timeouts=PATIENT)})) as r,
    ):
        reply = await r.chat(stream=stream)
    if not stream:
        assert reply.status == (200 if complete else 502)
    elif complete:
        assert reply.events()[-1] == "[DONE]"
    else:
        assert reply.events()[-1]["error"]["code"] == "stream_broken"
        assert "[DONE]" not in reply.events()


def both(local, api, **policy):
    """Return a table in which cards stay inside; `auto` is classified."""
    backends = {
        "local": backend(local.url, timeouts=PATIENT, maxConcurrency=1),
        "api": backend(api.url, trust="external", timeouts=PATIENT),
    }
    return table(backends, policy={"data": {"keepLocal": ["payment-card"]}, **policy})


DRAWN_OUT = {
    "an unsure classifier": (Says(0.0), {}),
    "a broken classifier": (Says(None, "broken"), {}),
    "a rule": (Says(1.0), {"rules": [{"name": "r", "match": {}, "prefer": "api"}]}),
    "an intent": (Says(1.0), {"intents": {"chat": {"prefer": "api"}}}),
    "shadow mode": (Says(1.0), {"shadow": "api"}),
}


@pytest.mark.parametrize(("classifier", "policy"), DRAWN_OUT.values(), ids=DRAWN_OUT)
async def test_what_must_stay_stays_whatever_prefers_the_api(classifier, policy):
    async with (
        Upstream(answers()) as local,
        Upstream(answers()) as api,
        router(both(local, api, **policy), classifier=classifier) as r,
    ):
        open_ = await r.chat("auto")
        kept = await r.post("/v1/chat/completions", {"model": "auto", **CARD})
    assert open_.headers["x-hybrid-source"] == "api"
    assert (kept.status, kept.headers["x-hybrid-source"]) == (200, "local")
    assert len(api.received) == 1


RULED = {"rules": [{"name": "inside", "models": ["local-model"]}]}
UNJUDGED = {"classifier": {"type": "none"}, **RULED}


@pytest.mark.parametrize(
    ("policy", "classifier", "reason"),
    [
        pytest.param(UNJUDGED, None, "ordered", id="where nobody judges"),
        pytest.param(RULED, Says(0.0), "no-external-target", id="whatever is judged"),
    ],
)
async def test_a_rule_keeps_requests_off_the_api(policy, classifier, reason):
    async with (
        Upstream(answers()) as local,
        Upstream(answers()) as api,
        router(both(local, api, **policy), classifier=classifier) as r,
    ):
        auto = await r.chat("auto")
        kept = await r.chat("local")
        named = await r.chat("api")
    said = auto.headers
    assert (said["x-hybrid-source"], said["x-hybrid-rule"]) == ("local", "inside")
    assert said["x-hybrid-reason"] == reason
    assert (kept.status, kept.headers["x-hybrid-reason"]) == (200, "explicit")
    assert (named.status, named.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "rule inside lets only local-model answer" in named.json()["error"]["message"]
    assert not api.received


async def test_what_must_stay_waits_where_others_spill():
    free = asyncio.Event()

    async def held(talk):
        await free.wait()
        await answers()(talk)

    async with (
        Upstream(held) as local,
        Upstream(answers()) as api,
        router(both(local, api), classifier=Says(1.0)) as r,
    ):
        first = asyncio.create_task(r.chat("auto"))
        await until(lambda: local.received)
        assert (await r.chat("auto")).headers["x-hybrid-source"] == "api"
        asked = {"model": "auto", **CARD}
        kept = asyncio.create_task(r.post("/v1/chat/completions", asked))
        waiting = 'hinf_router_requests_waiting{backend="local"}'
        await until(lambda: r.sample(waiting) == 1)
        free.set()
        assert (await first).headers["x-hybrid-source"] == "local"
        assert (await kept).headers["x-hybrid-source"] == "local"
    assert len(api.received) == 1


async def test_a_private_certificate_authority_is_trusted_where_the_table_names_it(
    tls_port, certificate
):
    url = f"https://localhost:{tls_port}/v1"
    named = table(
        {
            "unknown": backend(url, timeouts=PATIENT),
            "known": backend(url, timeouts=PATIENT, caFile=str(certificate[1])),
        }
    )
    async with router(named) as r:
        codes = [(await r.chat(name)).error["code"] for name in ("unknown", "known")]
    assert codes == ["upstream_connect", "upstream_broken"]  # what it says is no answer of a model


async def test_the_small_surface_is_behind_the_same_keys_and_limits(tmp_path):
    (tmp_path / "team").write_text("key-1")
    keys = {"directory": str(tmp_path), "limits": {"requestsPerMinute": 1}}
    async with Upstream(answers()) as up, router(table({"a": backend(up.url)}, keys=keys)) as r:
        ask = {"prompt": "hi", "user_id": "u"}
        replies = [
            await r.post("/api/v1/chat", ask, *headers)
            for headers in ((), ("Authorization: Bearer key-1",), ("x-api-key: key-1",))
        ]
    assert [reply.status for reply in replies] == [401, 200, 429]
    assert int(replies[2].headers["retry-after"]) >= 1
