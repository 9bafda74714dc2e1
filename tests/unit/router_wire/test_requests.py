"""What the router reads of a request, and what each backend then gets."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.fields import VLLM_ONLY
from hybrid_router.openai.form import HIDING_USAGE, PASSED
from hybrid_router.openai.request import parse
from hybrid_router.openai.simple import parse_simple
from hybrid_router.table import Backend
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import Upstream

VLLM = Backend(trust="internal", urls=("http://a/v1",), engine="vllm")
OTHER = Backend(trust="external", urls=("http://a/v1",))
OPENAI = Backend(trust="external", urls=("http://a/v1",), provider="openai")

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'
DEEP = b"[" * 100_000 + b"]" * 100_000

BAD = [
    pytest.param(b"", None, id="an empty body"),
    pytest.param(b"{", None, id="half an object"),
    pytest.param(b'{"model":"m",' + MESSAGES + b"}}", None, id="something after the object"),
    pytest.param(b"[]", None, id="a list"),
    pytest.param(b'"m"', None, id="a string"),
    pytest.param(b"null", None, id="null"),
    pytest.param(b'{"model":"\xff",' + MESSAGES + b"}", None, id="bytes that are not UTF-8"),
    pytest.param(b'\xef\xbb\xbf{"model":"m",' + MESSAGES + b"}", None, id="a byte order mark"),
    pytest.param(('{"model":"m"}').encode("utf-16"), None, id="UTF-16"),
    pytest.param(b'{"model":"m","top_p":NaN,' + MESSAGES + b"}", None, id="a number that is none"),
    pytest.param(b'{"model":"m","user":"\x00",' + MESSAGES + b"}", None, id="a control character"),
    pytest.param(b"{" + MESSAGES + b"}", "model", id="no model"),
    pytest.param(b'{"model":null,' + MESSAGES + b"}", "model", id="a model that is null"),
    pytest.param(b'{"model":7,' + MESSAGES + b"}", "model", id="a model that is a number"),
    pytest.param(b'{"model":"",' + MESSAGES + b"}", "model", id="an empty model"),
    pytest.param(b'{"model":"m"}', "messages", id="no messages"),
    pytest.param(b'{"model":"m","messages":null}', "messages", id="messages that are null"),
    pytest.param(b'{"model":"m","messages":"hi"}', "messages", id="messages that are a string"),
    pytest.param(b'{"model":"m","messages":{}}', "messages", id="messages that are an object"),
    pytest.param(b'{"model":"m","messages":[ ]}', "messages", id="no message at all"),
    pytest.param(
        b'{"model":"m","stream":"yes",' + MESSAGES + b"}", "stream", id="a stream that is a string"
    ),
    pytest.param(b'{"model":"m","x":' + DEEP + b"," + MESSAGES + b"}", None, id="deep nesting"),
    pytest.param(b'{"model":"m","messages":' + DEEP + b"}", None, id="deeply nested messages"),
]


@pytest.mark.parametrize(("body", "param"), BAD)
async def test_a_bad_body_is_400_and_names_the_field(body, param):
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        reply = await r.post("/v1/chat/completions", body)
    assert (reply.status, reply.error["param"]) == (400, param)
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param(b'{"user_id":"u"}', "prompt", id="no prompt"),
        pytest.param(b'{"prompt":7}', "prompt", id="a prompt that is a number"),
        pytest.param(b'{"prompt":" "}', "prompt", id="an empty prompt"),
        pytest.param(b'{"prompt":"x","user_id":[]}', "user_id", id="a user that is a list"),
    ],
)
async def test_a_bad_simple_body_is_400_and_names_the_field(body, param):
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        reply = await r.post("/api/v1/chat", body)
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_messages_that_are_no_objects_are_400_where_they_are_judged():
    both = {"a": backend("http://127.0.0.1:1/v1"), "b": backend("http://b/v1", trust="external")}
    async with router(table(both), classifier=Says(0.9)) as r:
        body = {"model": "auto", "messages": ["hi"]}
        reply = await r.post("/v1/chat/completions", body)
    assert (reply.status, reply.error["param"]) == (400, "messages")


async def test_of_a_name_that_occurs_twice_the_last_value_counts_and_is_sent_alone():
    body = b'{"model":"nobody","stream":true,"stream":false,"model":"only",' + MESSAGES + b"}"
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.post("/v1/chat/completions", body)
    assert (reply.status, reply.json()["object"]) == (200, "chat.completion")
    sent = up.received[0].body
    assert [sent.count(name) for name in (b'"model"', b'"stream"', b"nobody")] == [1, 1, 0]


def test_what_does_not_change_is_forwarded_byte_by_byte():
    body = b'{ "model" : "m",\n "messages":[ {"role":"user","content":"\\u00e9"} ], "top_p":1.00 }'
    assert parse("chat", body).outgoing("m", VLLM).body is body


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda k: k not in VLLM_ONLY | {"stream", "stream_options"}),
        st.sampled_from(
            [
                "1.10",
                "1e400",
                "18446744073709551616",
                '"\\ud83d\\ude00"',
                '{"a":[1.0,null]}',
                "-0.0",
            ]
        ),
    )
)
def test_only_the_model_changes_and_every_other_value_stays_as_it_was_written(extra):
    extra = {k: v for k, v in extra.items() if k not in {"model", "messages", "max_tokens"}}
    fields = {"model": '"m"', "messages": '[{"role":"user"}]', **extra}
    body = "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in fields.items()) + "}"
    sent = parse("chat", body.encode()).outgoing("other", OTHER)
    kept = {**fields, "model": '"other"'}
    raw = "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{v}" for k, v in kept.items()) + "}"
    assert sent.body.decode() == raw
    assert sent.dropped == ()


@pytest.mark.parametrize("name", sorted(VLLM_ONLY))
def test_vllms_own_fields_reach_vllm_only(name):
    body = b'{"model":"m",' + MESSAGES + b',"%s":1}' % name.encode()
    call = parse("chat", body)
    assert call.outgoing("m", VLLM).body is body
    other = call.outgoing("m", OTHER)
    assert other.dropped == (name,)
    assert name not in json.loads(other.body)


def test_unknown_fields_reach_every_backend_of_the_dialect():
    body = b'{"model":"m",' + MESSAGES + b',"strict":true,"brand_new":{"x":[1]}}'
    assert parse("chat", body).outgoing("m", OPENAI).body is body


RENAMES = [
    pytest.param(
        {"max_tokens": 5}, {"max_completion_tokens": 5}, id="max_tokens gets OpenAI's present name"
    ),
    pytest.param(
        {"max_tokens": 5, "max_completion_tokens": 6},
        {"max_completion_tokens": 6},
        id="of both names the present one stays",
    ),
]


@pytest.mark.parametrize(("given_", "sent"), RENAMES)
def test_openai_gets_its_own_names(given_, sent):
    body = json.dumps({"model": "m", "messages": [{}], **given_}).encode()
    call = parse("chat", body)
    assert json.loads(call.outgoing("m", OPENAI).body) == {"model": "m", "messages": [{}], **sent}
    assert call.outgoing("m", OTHER).body is body


def test_completions_keep_max_tokens_at_openai():
    body = b'{"model":"m","prompt":"x","max_tokens":5}'
    assert parse("completions", body).outgoing("m", OPENAI).body is body


STREAM_OPTIONS = [
    pytest.param(None, {"include_usage": True}, True, id="usage is asked for"),
    pytest.param({"include_usage": False}, {"include_usage": True}, True, id="also where refused"),
    pytest.param(
        {"continuous_usage_stats": True},
        {"continuous_usage_stats": True, "include_usage": True},
        True,
        id="beside other options",
    ),
    pytest.param({"include_usage": True}, {"include_usage": True}, False, id="once if asked for"),
]


@pytest.mark.parametrize(("options", "sent", "hides"), STREAM_OPTIONS)
def test_the_usage_of_a_stream(options, sent, hides):
    fields = {"model": "m", "messages": [{}], "stream": True}
    if options is not None:
        fields["stream_options"] = options
    outgoing = parse("chat", json.dumps(fields).encode()).outgoing("m", VLLM)
    assert json.loads(outgoing.body)["stream_options"] == sent
    assert outgoing.form is (HIDING_USAGE if hides else PASSED)


def test_continuous_usage_is_vllms_own_and_dropped_elsewhere():
    options = {"include_usage": True, "continuous_usage_stats": True}
    fields = {"model": "m", "messages": [{}], "stream": True, "stream_options": options}
    outgoing = parse("chat", json.dumps(fields).encode()).outgoing("m", OTHER)
    assert json.loads(outgoing.body)["stream_options"] == {"include_usage": True}
    assert outgoing.dropped == ("stream_options.continuous_usage_stats",)


CAPABILITIES = [
    pytest.param({}, set(), id="nothing special"),
    pytest.param({"tools": [{}]}, {"tools"}, id="tools"),
    pytest.param({"tools": []}, set(), id="an empty list of tools"),
    pytest.param({"tools": None}, set(), id="tools that are null"),
    pytest.param({"functions": [{}]}, {"tools"}, id="functions"),
    pytest.param({"response_format": {"type": "text"}}, set(), id="plain text"),
    pytest.param(
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"structured-output"},
        id="a JSON schema",
    ),
    pytest.param({"logprobs": True}, {"logprobs"}, id="log-probabilities"),
    pytest.param({"logprobs": False}, set(), id="no log-probabilities"),
    pytest.param({"n": 1}, set(), id="one choice"),
    pytest.param({"n": 2}, {"n"}, id="two choices"),
    pytest.param(
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"vision"},
        id="an image",
    ),
    pytest.param(
        {"messages": [{"role": "user", "content": [{"type": "text"}, {"type": "input_audio"}]}]},
        {"audio"},
        id="audio",
    ),
]


@pytest.mark.parametrize(("fields", "needs"), CAPABILITIES)
def test_what_a_request_needs(fields, needs):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields})
    assert parse("chat", body.encode()).capabilities() == needs | {"chat"}


ESTIMATES = [
    pytest.param("x" * 8_000, 2_012, id="text counts by its length"),
    pytest.param(
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}],
        1_033,
        id="an image counts as one, however large",
    ),
    pytest.param(
        [{"type": "input_audio", "input_audio": {"format": "wav", "data": "A" * 400_000}}] * 2,
        2_054,
        id="so do recordings",
    ),
    pytest.param(
        [{"type": "image_url", "image_url": {"url": "https://a/" + "b" * 8_000}}],
        2_029,
        id="an address is text",
    ),
]


@pytest.mark.parametrize(("content", "tokens"), ESTIMATES)
def test_tokens_of_a_prompt_are_estimated(content, tokens):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]})
    assert parse("chat", body.encode()).prompt_tokens == pytest.approx(tokens, abs=10)


@given(st.binary(max_size=300))
def test_no_bytes_make_anything_but_a_call_or_a_400(body):
    for read in (parse_simple, lambda b: parse("chat", b), lambda b: parse("completions", b)):
        with suppress(ApiError):
            read(body)


async def test_an_image_goes_where_images_are_understood():
    async with Upstream() as blind, Upstream() as seeing:
        both = table({"a": backend(blind.url), "b": backend(seeing.url, trust="external")})
        both["models"]["m"]["targets"][0]["lacks"] = ["vision"]
        async with router(both) as r:
            parts = [{"type": "image_url", "image_url": {"url": "data:x"}}]
            body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
            reply = await r.post("/v1/chat/completions", body)
    assert (reply.status, blind.received, len(seeing.received)) == (200, [], 1)


HEADERS = (
    "Authorization: Bearer secret",
    "Cookie: a=b",
    "Baggage: x=y",
    "X-Forwarded-For: 10.0.0.1",
    "X-Request-Id: abc",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "OpenAI-Organization: org",
    "User-Agent: secret-client/1",
    "Proxy-Authorization: Basic x",
)


async def test_headers_to_backends_are_an_allow_list():
    async with Upstream() as local, Upstream() as api:
        both = table({"local": backend(local.url), "api": backend(api.url, trust="external")})
        async with router(both) as r:
            await r.chat("local", *HEADERS)
            await r.chat("api", *HEADERS)
    sent = {
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }
    assert set(api.received[0].headers) == sent
    assert set(local.received[0].headers) == sent | {"traceparent", "x-request-id"}
    for request in (local.received[0], api.received[0]):
        assert request.headers["accept-encoding"] == "identity"
        assert "secret" not in str(request.headers)


async def test_a_backend_gets_the_routers_own_key(tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-own\n")
    async with Upstream() as up:
        keyed = {"apiKey": {"file": str(key)}}
        backends = {
            "bearer": backend(up.url, **keyed),
            "azure": backend(up.url, auth="api-key", **keyed),
        }
        async with router(table(backends)) as r:
            await r.chat("bearer", "Authorization: Bearer theirs")
            await r.chat("azure")
    assert up.received[0].headers["authorization"] == "Bearer sk-own"
    assert up.received[1].headers["api-key"] == "sk-own"
    assert "authorization" not in up.received[1].headers


async def test_a_body_above_256_kb_is_read_and_forwarded_too():
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat(user="x" * 3_000_000)
    assert reply.status == 200
    assert len(up.received[0].json()["user"]) == 3_000_000
