"""The endpoints as clients see them."""

import io
import json

import pytest

from hybrid_router.telemetry.access import AccessLog
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import Upstream, answers, replies, response, says

NOWHERE = {"only": backend("http://127.0.0.1:1/v1")}


async def test_models_are_listed_and_shown():
    listed = table(NOWHERE)
    listed["models"]["org/hidden"] = {**listed["models"]["only"], "listed": False}
    async with router(listed) as r:
        everything = (await r.get("/v1/models")).json()
        assert everything["object"] == "list"
        assert [m["id"] for m in everything["data"]] == ["m", "auto", "only"]
        one = (await r.get("/v1/models/org%2Fhidden")).json()
        assert (one["id"], one["object"]) == ("org/hidden", "model")
        assert (await r.get("/v1/models/org/hidden")).json() == one
        missing = await r.get("/v1/models/nope")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")


async def test_an_unknown_model_is_404():
    async with router(table(NOWHERE)) as r:
        reply = await r.chat("gpt-17")
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        assert reply.error["param"] == "model"
        assert reply.error["type"] == "not_found_error"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/models/", "/v1/audio/speech", "/v1/files", "/metrics/x"]
)
async def test_an_unknown_path_is_404_before_its_body_is_read(path):
    async with router(table(NOWHERE)) as r:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
        reply = await r.raw(head.encode())
        assert (reply.status, reply.error["code"]) == (404, "not_found")


async def test_readiness_waits_for_a_table():
    async with router(table(NOWHERE)) as r:
        r.registry.ready = False
        assert ((await r.get("/readyz")).status, (await r.get("/healthz")).status) == (503, 200)


@pytest.mark.parametrize(
    ("confidence", "answer"),
    [
        pytest.param(
            0.9,
            {"source": "local_slm", "content": "hello", "provider": "local"},
            id="a confident verdict",
        ),
        pytest.param(
            0.1,
            {"source": "openai_api", "content": "hello", "provider": "openai"},
            id="an unsure verdict",
        ),
    ],
)
async def test_the_simple_surface(confidence, answer):
    async with Upstream() as up:
        both = {
            "local": backend(up.url),
            "api": backend(up.url, trust="external", provider="openai"),
        }
        classifier = Says(confidence)
        async with router(table(both), classifier=classifier) as r:
            reply = await r.post("/api/v1/chat", {"prompt": "Say hello", "user_id": "u-1"})
    assert (reply.status, reply.json()) == (200, answer)
    assert reply.headers["x-hybrid-confidence"] == f"{confidence:.3f}"
    assert reply.headers["x-hybrid-classifier"]
    assert reply.headers["x-hybrid-source"] == ("local" if confidence > 0.5 else "api")
    assert classifier.prompts[0].turn == "Say hello"
    assert b"u-1" not in up.received[0].body


async def test_the_simple_surface_says_errors_as_the_others_do():
    async with Upstream(replies(500)) as up:
        alone = table({"only": backend(up.url)}, policy={"attempts": 1})
        async with router(alone) as r:
            reply = await r.post("/api/v1/chat", {"prompt": "x"})
    assert (reply.status, reply.error["code"]) == (502, "upstream_server_error")


async def test_a_broken_classifier_means_the_api():
    async with Upstream() as local, Upstream() as api:
        both = table({"local": backend(local.url), "api": backend(api.url, trust="external")})
        async with router(both, classifier=Says(None, "timeout")) as r:
            reply = await r.chat("auto")
    assert reply.headers["x-hybrid-source"] == "api"
    assert reply.headers["x-hybrid-reason"] == "classifier-error"
    assert local.received == []


async def test_an_explicit_name_is_not_classified():
    classifier = Says(0.0)
    async with (
        Upstream() as up,
        router(table({"only": backend(up.url)}), classifier=classifier) as r,
    ):
        await r.chat("only")
    assert classifier.prompts == []


async def test_embeddings_pass_for_an_explicit_name():
    vectors = {"object": "list", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 3}}
    answer = says(response(200, json.dumps(vectors).encode()))
    async with Upstream(answer) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.post("/v1/embeddings", {"model": "only", "input": "x"})
        classified = await r.post("/v1/embeddings", {"model": "auto", "input": "x"})
    assert reply.json() == vectors
    assert up.received[0].path == "/v1/embeddings"
    assert (classified.status, classified.error["param"]) == (400, "model")


async def test_embeddings_never_come_from_another_model():
    async with Upstream(replies(500)) as up, Upstream() as other:
        both = table({"a": backend(up.url), "b": backend(other.url)}, policy={"attempts": 2})
        async with router(both) as r:
            reply = await r.post("/v1/embeddings", {"model": "m", "input": "x"})
    assert (reply.status, other.received) == (502, [])


async def test_providers_headers_that_help_pass_and_the_others_do_not():
    passed = {
        "openai-processing-ms": "12",
        "x-ratelimit-remaining-tokens": "5",
    }
    hidden = {
        "server": "cloud",
        "set-cookie": "a=b",
        "x-request-id": "theirs",
        "openai-organization": "ours",
        "keep-alive": "timeout=5",
    }
    lines = [f"{k}: {v}" for k, v in {**passed, **hidden}.items()]
    body = b'{"choices":[{"message":{"content":"hello"}}]}'
    answer = response(200, body, headers=("content-type: application/json", *lines))
    async with Upstream(says(answer)) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat("only", "X-Request-Id: mine")
    assert {k: reply.headers.get(k) for k in passed} == passed
    assert reply.headers["x-request-id"] == "mine"
    assert not {k for k in hidden if k != "x-request-id"} & reply.headers.keys()


async def test_dropped_fields_are_named():
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat("only", top_k=5, min_p=0.1)
    assert reply.headers["x-hybrid-dropped"] == "min_p, top_k"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param("Authorization: Bearer sk-right", 200, id="the right key"),
        pytest.param("authorization: bearer sk-right", 200, id="the scheme in any case"),
        pytest.param("Authorization: Bearer sk-wrong", 401, id="a wrong key"),
        pytest.param("Authorization: Basic sk-right", 401, id="another scheme"),
        pytest.param("X-Other: 1", 401, id="no key"),
    ],
)
async def test_keys(tmp_path, header, status):
    (tmp_path / "team-a").write_text("sk-right")
    async with Upstream() as up:
        keyed = table({"only": backend(up.url)}, keys={"directory": str(tmp_path)})
        async with router(keyed) as r:
            assert (await r.chat("only", header)).status == status
            assert (await r.get("/v1/models", header)).status == status
            simple = await r.post("/api/v1/chat", {"prompt": "x"}, header)
            assert simple.status == status
            assert (await r.get("/metrics")).status == 200
            if status == 401:
                reply = await r.chat("only", header)
                assert reply.error["code"] == "invalid_api_key"
                assert reply.headers["www-authenticate"] == "Bearer"


async def test_nothing_is_sent_to_a_provider_whose_key_is_missing(tmp_path):
    async with Upstream() as up:
        waits = backend(up.url, trust="external", apiKey={"file": str(tmp_path / "none")})
        async with router(table({"only": waits})) as r:
            reply = await r.chat("only")
    assert (reply.status, reply.error["code"], up.received) == (503, "no_backend", [])


async def test_the_access_log_tells_the_way_and_neither_prompt_nor_answer():
    stream = io.BytesIO()
    log = AccessLog(stream)
    async with (
        Upstream(answers("the answer")) as up,
        router(table({"only": backend(up.url)}), access_log=log) as r,
    ):
        await r.chat("only", "X-Request-Id: abc", user="the prompt")
        await r.get("/nowhere?secret=1")
    assert b"the " not in stream.getvalue()
    assert b"secret" not in stream.getvalue()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["request_id"], first["surface"], first["status"]) == ("abc", "chat", 200)
    assert (first["model"], first["source"], first["backend"]) == ("only", "local", "only")
    assert (first["prompt_tokens"], first["completion_tokens"], first["attempts"]) == (7, 2, 1)
    assert (second["surface"], second["status"]) == ("other", 404)


async def test_requests_are_counted_by_the_way_they_went():
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        await r.chat("only")
        await r.chat("nope")
        labels = 'model="only",reason="explicit",source="local",status="200",surface="chat"'
        assert r.sample("hinf_router_requests_total{" + labels + "}") == 1
        labels = 'model="unknown",reason="refused",source="none",status="404",surface="chat"'
        assert r.sample("hinf_router_requests_total{" + labels + "}") == 1


async def test_a_fault_of_the_router_is_500_and_quotes_nothing(caplog):
    class Broken:
        async def classify(self, prompt, asker="", priors=None):  # noqa: ARG002  Classifier
            raise RuntimeError(prompt.turn)

        async def close(self):
            pass

    async with Upstream() as up:
        both = {"a": backend(up.url), "b": backend(up.url, trust="external")}
        async with router(table(both), classifier=Broken()) as r:
            reply = await r.post("/api/v1/chat", {"prompt": "my secret prompt"})
            assert (await r.get("/healthz")).status == 200
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "RuntimeError" in caplog.text
    assert "secret prompt" not in caplog.text + reply.body.decode()
