"""What a client that asks is told of the way of its request, and what trace context goes on."""

import json

import pytest

from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import Upstream, replies

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_trace_says_what_was_decided_and_what_was_tried():
    async with Upstream(replies(500)) as local, Upstream() as api:
        both = table({"local": backend(local.url), "api": backend(api.url, trust="external")})
        async with router(both, classifier=Says(0.91)) as r:
            told = await r.chat("auto", "x-hybrid-trace: 1")
            untold = await r.chat("auto")
    trace = json.loads(told.headers["x-hybrid-trace"])
    assert trace["reason"] == "confident"
    assert trace["confidence"] == 0.91
    assert trace["targets"] == ["local:local-model", "api:api-model"]
    assert trace["answered_by"] == "api"
    assert {t["backend"] for t in trace["tried"]} == {"local"}
    assert trace["tried"][0]["cause"] == "server-error"
    assert trace["tried"][0]["status"] == 500
    assert "x-hybrid-trace" not in untold.headers


async def test_an_engine_gets_the_same_trace_with_a_span_of_ours():
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        await r.chat("m", f"traceparent: {GIVEN}", "tracestate: a=1")
        headers = up.received[0].headers
    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", GIVEN.split("-")[1], "01")
    assert (len(span), span) != (16, GIVEN.split("-")[2])
    assert headers["tracestate"] == "a=1"


BROKEN = {
    "not hexadecimal": GIVEN.replace("0af", "xyz"),
    "no trace": "00-" + "0" * 32 + "-b7ad6b7169203331-01",
    "another version": "ff" + GIVEN[2:],
    "too long": GIVEN + "-1",
}


@pytest.mark.parametrize("given", BROKEN.values(), ids=BROKEN)
async def test_a_malformed_trace_context_goes_no_further(given):
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        await r.chat("m", f"traceparent: {given}", "tracestate: a=1")
    assert not {"traceparent", "tracestate"} & up.received[0].headers.keys()


async def test_trace_context_does_not_leave_the_cluster():
    async with Upstream() as up:
        out = table({"api": backend(up.url, trust="external")})
        async with router(out) as r:
            await r.chat("m", f"traceparent: {GIVEN}")
    assert "traceparent" not in up.received[0].headers


async def test_metrics_bear_the_names_of_the_conventions_too():
    async with Upstream() as up:
        one = table({"local": backend(up.url, engine="vllm")})
        async with router(one) as r:
            await r.chat()
            await r.chat(stream=True)
            seen = r.metrics.render().decode()
    who = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="vllm",'
        'gen_ai_request_model="local-model"'
    )
    assert f'gen_ai_client_token_usage_sum{{{who},gen_ai_token_type="input"}} 14.0' in seen
    assert f'gen_ai_client_token_usage_count{{{who},gen_ai_token_type="output"}} 2.0' in seen
    assert f"gen_ai_server_request_duration_seconds_count{{{who}}} 2.0" in seen
    assert f"gen_ai_server_time_to_first_token_seconds_count{{{who}}} 1.0" in seen
    assert f"gen_ai_server_time_per_output_token_seconds_count{{{who}}} 1.0" in seen
