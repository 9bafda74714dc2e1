"""`hinf render table --local`: a table that a router on a laptop can serve, and does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli
from hybrid_router.table import Keys, SecretRef, decode
from tests.support.upstreams import Upstream, answers

if TYPE_CHECKING:
    from hybrid_router.table import RouteTable

EXAMPLES = Path(__file__).parents[3] / "examples"
MINIMAL = str(EXAMPLES / "minimal.yaml")
FULL = str(EXAMPLES / "full.yaml")
TWO = """
apiVersion: hybridinference.dev/v1alpha1
kind: HybridInference
metadata: {name: support}
spec:
  models:
    - {name: qwen3-4b, accelerator: {type: a10g}}
    - {name: qwen3-8b, accelerator: {type: a10g}}
"""


def render(*args: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["render", "table", *args], input=given, prog_name="hinf")


def local(*args: str, given: str | None = None) -> RouteTable:
    result = render("--local", *args, given=given)
    assert result.exit_code == 0, result.output
    return decode(result.stdout.encode())


def test_keys_come_from_the_environment_and_engines_have_addresses():
    table = local("-f", FULL)
    external = table.backends["api/openai"]
    assert external.api_key == SecretRef(env="OPENAI_API_KEY")
    assert table.backends["local/support-sft"].urls == ("http://127.0.0.1:8000/v1",)
    assert not any(each.service for each in table.backends.values())
    assert (table.keys, table.routers) == (None, None)


def test_in_the_cluster_all_of_that_is_as_it_was():
    table = decode(render("-f", FULL).stdout.encode())
    assert isinstance(table.keys, Keys)
    assert table.backends["local/support-sft"].service is not None


def test_engines_listen_at_one_port_each_or_where_they_are_said_to():
    table = local("-f", "-", "--engine", "qwen3-8b=https://gpu.example/v1/", given=TWO)
    urls = {name: each.urls for name, each in table.backends.items()}
    assert urls == {
        "local/qwen3-4b": ("http://127.0.0.1:8000/v1",),
        "local/qwen3-8b": ("https://gpu.example/v1",),
    }
    assert local("-f", "-", given=TWO).backends["local/qwen3-8b"].urls == (
        "http://127.0.0.1:8001/v1",
    )


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param(("--engine", "m=http://a/v1"), "--engine is for --local", id="no --local"),
        pytest.param(
            ("--local", "--engine", "gpt=http://a/v1"), "there are qwen3-4b", id="no such model"
        ),
        pytest.param(
            ("--local", "--engine", "qwen3-4b=8000"), "qwen3-4b=http://HOST", id="no address"
        ),
    ],
)
def test_a_wrong_option_says_what_to_write(args, told):
    result = render("-f", MINIMAL, *args)
    assert (result.exit_code, told in result.output) == (2, True), result.output


async def ask(port: int, prompt: str) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    async with httpx2.AsyncClient() as client:
        return await client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body)


async def test_a_router_on_a_laptop_serves_auto_by_it(tmp_path: Path):
    """The recipe of docs/router.md, with a scripted engine in vLLM's place."""
    file = tmp_path / "table.json"
    async with Upstream(answers("INV-4711")) as engine:
        result = render("--local", "-f", MINIMAL, "--engine", f"qwen3-4b={engine.url}")
        file.write_text(result.stdout)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hybrid_router", "--table", str(file),
            "--host", "127.0.0.1", "--port", "0",
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENAI_API_KEY": "unused"},
        )  # fmt: skip
        try:
            answer = await ask(await port_of(process), "Extract the invoice number: INV-4711")
        finally:
            process.kill()
            await process.communicate()
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-hybrid-source"] == "local"
    assert json.loads(answer.text)["choices"][0]["message"]["content"] == "INV-4711"
    assert engine.received[0].json()["model"] == "qwen3-4b"


async def port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    said = ""
    while not (found := re.search(r"serving at http://127.0.0.1:(\d+)", said)):
        line = await process.stderr.readline()
        assert line, said
        said += line.decode()
    return int(found[1])
