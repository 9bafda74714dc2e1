"""The vendors' published schemas, held by llm-comply against every surface and every backend."""

import asyncio
import json
import sys

import pytest

LEAST = {"openai-chat": 8, "anthropic": 8, "open-responses": 12}
"""Tests of each surface; the one beside them, of reasoning, depends on the model's name."""


@pytest.mark.parametrize("model", ["chat", "claude"])
@pytest.mark.parametrize("surface", LEAST)
async def test_the_answers_are_of_the_published_schema(served, surface, model):
    url = f"http://127.0.0.1:{served[0].port}/v1"
    options = ["--base-url", url, "--model", model, "--api-key", "x", "--format", surface]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "llm_comply.cli", *options, "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert out, err.decode()
    found = json.loads(out)
    wrong = {each["id"]: each.get("errors") for each in found["results"]}
    passed = [each["id"] for each in found["results"] if each["status"] == "passed"]
    skipped = [each["id"] for each in found["results"] if each["status"] == "skipped"]
    assert {id_: why for id_, why in wrong.items() if id_ not in (*passed, *skipped)} == {}
    assert len(passed) >= LEAST[surface]
    assert all("reasoning" in each or "thinking" in each for each in skipped)
