"""The OpenAPI document that the documentation ships, and what the router makes of it."""

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hybrid_router.endpoints.models import PREFIX
from hybrid_router.endpoints.routes import Routes
from tests.support.routers import backend, router, table
from tests.support.upstreams import Talk, Upstream, completion, response
from tools import openapi

NOT_ASKED = "negative_data_rejection,positive_data_acceptance,missing_required_header"
"""The router leaves it to the backend to refuse a field that it only passes on."""


def test_it_names_every_path_that_is_routed():
    pipeline: Any = SimpleNamespace(registry=None, metrics=None, desk=None, gates=None)
    routed = {path.decode() for path in Routes(pipeline)._paths}
    described = set(openapi.paths()) - {PREFIX.decode() + "{id}"}
    assert described == routed


async def speaks_all(talk: Talk) -> None:
    """Answer whatever is asked for, as a model would that has no opinion."""
    path = talk.request.path
    asked = talk.request.json()
    body: dict[str, Any] = completion("hello")
    if path.endswith("/embeddings"):
        body = {"object": "list", "data": [{"embedding": [0.1]}]}
    elif path.endswith("/completions") and "prompt" in asked:
        body = {"object": "text_completion", "choices": [{"index": 0, "text": "hello"}]}
    if asked.get("stream"):
        chunk = {**body, "choices": [{"index": 0, "delta": {"content": "a"}, "text": "a"}]}
        event = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
        await talk.send(response(200, event, headers=("content-type: text/event-stream",)))
    else:
        await talk.send(response(200, json.dumps(body).encode()))


@pytest.mark.timeout(300)  # some hundred requests, on a busy machine
async def test_whatever_the_document_allows_is_answered_as_it_says(tmp_path):
    allowed = openapi.document()
    for path in allowed["paths"].values():
        for operation in path.values():
            schema = _body(operation)
            if schema is not None and "model" in schema["properties"]:
                schema["properties"]["model"] = {"enum": ["only", "nope"]}
    (tmp_path / "openapi.json").write_text(json.dumps(allowed))
    async with Upstream(speaks_all) as up, router(table({"only": backend(up.url)})) as r:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"),
            "--url", f"http://127.0.0.1:{r.port}", "--phases", "fuzzing",
            "--max-examples", "15", "--seed", "1",
            "--exclude-checks", NOT_ASKED, "--suppress-health-check", "all", "--no-color",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-6000:]
    assert len(up.received) > 20


def _body(operation: dict[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]
    return cast("dict[str, Any]", content["application/json"]["schema"])
