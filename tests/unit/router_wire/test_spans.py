"""OpenTelemetry spans, as a collector on a real socket gets and understands them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hybrid_router.telemetry import otlp
from hybrid_router.telemetry.tracing import Tracing, TracingError
from tests.support.routers import Router, Says, backend, router, table, until
from tests.support.upstreams import Behaviour, Upstream, replies, resets, streams

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = GIVEN.split("-")[1:3]
TAKES = replies(200, {"partialSuccess": {}})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send spans at once."""
    monkeypatch.setattr(otlp, "PAUSE_SECONDS", 0.01)


def to(collector: Upstream, **variables: str) -> Tracing:
    url = collector.url.removesuffix("/v1")
    found = Tracing.read({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **variables})
    assert found is not None
    return found


def decoded(body: bytes) -> ExportTraceServiceRequest:
    """Read a message by OpenTelemetry's own definition; ids are hex in OTLP, base64 in protobuf."""

    def ids(value: Any) -> Any:
        if isinstance(value, list):
            return [ids(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(each)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}
            else ids(each)
            for key, each in value.items()
        }

    message: ExportTraceServiceRequest = ParseDict(
        ids(json.loads(body)), ExportTraceServiceRequest()
    )
    return message


async def sent(collector: Upstream, r: Router, count: int) -> list[Span]:
    """Wait for so many spans, and return them in the order in which they began."""
    await until(lambda: r.sample('hinf_router_spans_total{outcome="sent"}') >= count)
    spans = [
        span
        for received in collector.received
        for resource in decoded(received.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return sorted(spans, key=lambda span: (span.start_time_unix_nano, span.kind))


def said(span: Span) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


async def test_a_request_is_a_span_and_each_attempt_a_child_of_it():
    async with Upstream(TAKES) as collector, Upstream(replies(500)) as local, Upstream() as api:
        both = table({"local": backend(local.url), "api": backend(api.url, trust="external")})
        async with router(both, classifier=Says(0.91), tracing=to(collector)) as r:
            await r.chat("auto")
            attempts = len(local.received)
            own, *tried = await sent(collector, r, attempts + 2)
    assert (own.kind, own.name, own.parent_span_id) == (Span.SPAN_KIND_SERVER, "chat auto", b"")
    assert said(own) | {"hybrid.request_id": "?"} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "auto",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "hybrid.surface": "chat",
        "hybrid.request_id": "?",
        "hybrid.source": "api",
        "hybrid.backend": "api",
        "hybrid.reason": "local-failed",
        "hybrid.confidence": 0.91,
        "hybrid.intent": "chat",
        "hybrid.attempts": attempts + 1,
    }
    assert {span.trace_id for span in tried} == {own.trace_id}
    assert {span.parent_span_id for span in tried} == {own.span_id}
    assert [(s.kind, s.name) for s in tried] == [
        *[(Span.SPAN_KIND_CLIENT, "chat local-model")] * attempts,
        (Span.SPAN_KIND_CLIENT, "chat api-model"),
    ]
    first, last = said(tried[0]), said(tried[-1])
    assert first["error.type"] == "server-error"
    assert first["http.response.status_code"] == 500
    assert tried[0].status.code == Status.STATUS_CODE_ERROR
    assert (last["server.address"], last["server.port"]) == ("127.0.0.1", api.port)
    assert last["hybrid.time_to_first_token"] > 0
    assert "error.type" not in last
    for span in (own, *tried):
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano


async def test_spans_join_the_clients_trace_and_engines_join_theirs():
    async with Upstream(TAKES) as collector, Upstream(streams("a", "b")) as up:
        one = table({"local": backend(up.url)})
        async with router(one, tracing=to(collector)) as r:
            await r.chat("m", f"traceparent: {GIVEN}", "tracestate: a=1", stream=True)
            own, attempt = await sent(collector, r, 2)
            headers = up.received[0].headers
    assert (own.trace_id.hex(), own.parent_span_id.hex()) == (TRACE, PARENT)
    assert headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert headers["tracestate"] == "a=1"


async def test_an_engine_joins_a_trace_that_begins_here():
    async with (
        Upstream(TAKES) as collector,
        Upstream() as up,
        router(table({"local": backend(up.url)}), tracing=to(collector)) as r,
    ):
        await r.chat()
        own, attempt = await sent(collector, r, 2)
    expected = f"00-{own.trace_id.hex()}-{attempt.span_id.hex()}-01"
    assert up.received[0].headers["traceparent"] == expected


async def test_nothing_of_prompts_answers_keys_or_unknown_names_is_in_a_span():
    secret = "a secret that nobody may see"
    async with (
        Upstream(TAKES) as collector,
        Upstream(streams(secret)) as up,
        router(table({"local": backend(up.url)}), tracing=to(collector)) as r,
    ):
        message = {"role": "user", "content": secret}
        await r.chat("m", f"authorization: Bearer {secret}", stream=True, messages=[message])
        await r.chat(secret)
        await sent(collector, r, 3)
    told = b"".join(received.body for received in collector.received)
    assert b"secret" not in told


@pytest.mark.parametrize(
    ("given", "variables", "count"),
    [
        pytest.param(GIVEN[:-1] + "0", {}, 0, id="the client does not record its trace"),
        pytest.param(GIVEN, {"OTEL_TRACES_SAMPLER": "always_off"}, 0, id="none at all"),
        pytest.param(
            GIVEN[:-1] + "0", {"OTEL_TRACES_SAMPLER": "always_on"}, 2, id="all, whoever asks"
        ),
        pytest.param(
            GIVEN,
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            0,
            id="a share by the trace's id: 0x8448... is in the upper half",
        ),
        pytest.param(
            GIVEN,
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.6"},
            2,
            id="and below 0.6",
        ),
    ],
)
async def test_what_is_not_sampled_is_not_recorded(given, variables, count):
    async with Upstream(TAKES) as collector, Upstream() as up:
        tracing = to(collector, **variables)
        async with router(table({"local": backend(up.url)}), tracing=tracing) as r:
            reply = await r.chat("m", f"traceparent: {given}")
            found = await sent(collector, r, count)
    assert (reply.status, len(found)) == (200, count)
    assert up.received[0].headers["traceparent"].startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    ("answers", "sent_in_the_end"),
    [
        pytest.param((replies(503), TAKES), True, id="busy: later again"),
        pytest.param((resets, TAKES), True, id="away: later again"),
        pytest.param((replies(400), TAKES), False, id="refused: dropped"),
    ],
)
async def test_a_collector_that_fails_costs_no_request_anything(
    answers: tuple[Behaviour, ...], *, sent_in_the_end: bool
) -> None:
    async with (
        Upstream(*answers) as collector,
        Upstream() as up,
        router(table({"local": backend(up.url)}), tracing=to(collector)) as r,
    ):
        assert (await r.chat()).status == 200
        outcome = "sent" if sent_in_the_end else "dropped"
        await until(lambda: r.sample(f'hinf_router_spans_total{{outcome="{outcome}"}}') == 2)


async def test_spans_that_pile_up_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(otlp, "MOST_WAITING", 2)
    monkeypatch.setattr(otlp, "PAUSE_SECONDS", 60)
    async with Upstream(TAKES) as collector, Upstream() as up:
        async with router(table({"local": backend(up.url)}), tracing=to(collector)) as r:
            for _ in range(3):
                await r.chat()
            assert r.sample('hinf_router_spans_total{outcome="dropped"}') == 2
        # What is left goes out when the router stops.
        assert len(collector.received) == 1
    (message,) = (decoded(received.body) for received in collector.received)
    assert len(message.resource_spans[0].scope_spans[0].spans) == 4


async def test_headers_and_resource_are_those_of_the_environment():
    async with Upstream(TAKES) as collector, Upstream() as up:
        tracing = to(
            collector,
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Basic%20abc,x-scope=team",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
            OTEL_SERVICE_NAME="support",
            POD_NAME="router-1",
        )
        async with router(table({"local": backend(up.url)}), tracing=tracing) as r:
            await r.chat()
            await sent(collector, r, 2)
    received = collector.received[0]
    assert (received.path, received.headers["authorization"]) == ("/v1/traces", "Basic abc")
    assert received.headers["x-scope"] == "team"
    resource = decoded(received.body).resource_spans[0].resource
    assert {each.key: each.value.string_value for each in resource.attributes} == {
        "service.name": "support",
        "service.instance.id": "router-1",
        "k8s.pod.name": "router-1",
        "deployment.environment": "test",
    }


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, id="said empty"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
            id="switched off",
        ),
    ],
)
def test_it_is_off_unless_a_collector_is_named(environ):
    assert Tracing.read(environ) is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable, value):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        variable: value,
    }
    with pytest.raises(TracingError, match=variable):
        Tracing.read(environ)
