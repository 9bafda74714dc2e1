"""The command: what it says, how it starts, and how it ends. A real process on a real port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hybrid_router.__main__ import EPILOG, main
from hybrid_router.table import (
    Backend,
    Keys,
    Model,
    RouteTable,
    SecretRef,
    Service,
    Target,
    decode,
    encode,
)
from tests.support.kube_api import FakeKubeAPI, config_map
from tests.support.upstreams import Upstream, answers

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path


def table(url: str, generation: int = 1) -> RouteTable:
    return RouteTable(
        generation=generation,
        models={"m": Model(targets=(Target(backend="engine", model="m"),))},
        backends={"engine": Backend(trust="internal", urls=(url,))},
    )


def test_the_table_in_the_help_is_a_good_one() -> None:
    first = decode(EPILOG[EPILOG.index("{") : EPILOG.index("\n\nthen:")].encode())
    assert first.models["auto"].classified


def test_a_good_table_is_checked_with_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.json"
    file.write_bytes(encode(table("http://a/v1")))
    assert main(["--check", "--table", str(file)]) == 0
    assert "good, hash" in capsys.readouterr().out


ELSEWHERE = RouteTable(
    models={"m": Model(targets=(Target(backend="engine", model="m"),))},
    backends={
        "engine": Backend(trust="internal", service=Service(namespace="ml", name="support-m")),
        "file": Backend(
            trust="external", urls=("https://a/v1",), api_key=SecretRef(file="/no/key")
        ),
        "name": Backend(trust="external", urls=("http://llm.ml.svc/v1",)),
        "variable": Backend(
            trust="external", urls=("https://a/v1",), api_key=SecretRef(env="HINF_TEST_NO_KEY")
        ),
    },
    keys=Keys(directory="/no/keys"),
)
"""What only a router in a cluster can reach."""


def test_what_cannot_be_reached_outside_of_a_cluster_is_told_and_the_table_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "table.json"
    file.write_bytes(encode(ELSEWHERE))
    assert main(["--check", "--table", str(file)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: backend engine: its replicas are those of Service ml/support-m in a cluster",
        "warning: backend file: there is no key file /no/key",
        "warning: backend name: http://llm.ml.svc/v1 is an address within a cluster",
        "warning: backend variable: its key is to come from HINF_TEST_NO_KEY, which is not set",
        "warning: client keys: there is no directory /no/keys",
        "`hinf render table --local -f FILE` writes a table for here",
    ]


def test_in_a_cluster_a_check_warns_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINF_KUBE_API", "http://127.0.0.1:9")
    file = tmp_path / "table.json"
    file.write_bytes(encode(ELSEWHERE))
    assert main(["--check", "--table", str(file)]) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "cannot be read: No such file", id="a file that is not there"),
        pytest.param('{"version": 7}', "version: 7 is unknown", id="a version that is unknown"),
        pytest.param("{", "truncated", id="a file that was cut off"),
    ],
)
@pytest.mark.parametrize("check", [["--check"], []], ids=["when checked", "when served"])
def test_a_bad_table_is_one_sentence_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    words: str,
    check: list[str],
) -> None:
    file = tmp_path / "table.json"
    if content is not None:
        file.write_text(content)
    assert main([*check, "--table", str(file)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert str(file) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "--table FILE is needed", id="nothing to serve"),
        pytest.param(["--check"], "--table FILE is needed", id="nothing to check"),
        pytest.param(
            ["--watch-configmap", "routes"], "is not NAMESPACE/NAME", id="a name without namespace"
        ),
        pytest.param(["--table", "x", "--port", "65536"], "is not a port", id="a port too high"),
    ],
)
def test_bad_options_say_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


class Running:
    """A router process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said = ""
        self.port = 0

    async def until(self, words: str) -> str:
        """Read what it says on stderr until these words come."""
        assert self.process.stderr is not None
        while words not in self.said:
            line = await self.process.stderr.readline()
            assert line, f"it ended and never said {words!r}: {self.said}"
            self.said += line.decode()
        return self.said

    async def get(self, path: str, body: bytes = b"") -> str:
        """Return the whole answer to a request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
        return answer.decode()


@asynccontextmanager
async def running(*arguments: str, environ: dict[str, str] | None = None) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hybrid_router", "--host", "127.0.0.1", "--port", "0", *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )  # fmt: skip
    router = Running(process)
    try:
        said = await router.until("serving at")
        found = re.search(r"serving at http://127.0.0.1:(\d+)", said)
        assert found is not None
        router.port = int(found.group(1))
        yield router
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "a-secret-word"}]}'


async def test_it_serves_follows_its_file_and_ends_when_told_to(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    async with Upstream(answers("one")) as first, Upstream(answers("two")) as second:
        file.write_bytes(encode(table(first.url)))
        async with running("--table", str(file), "--access-log", "on") as router:
            assert "200 OK" in await router.get("/readyz")
            assert '"one"' in await router.get("/v1/chat/completions", CHAT)
            file.write_bytes(encode(table(second.url, generation=2)))
            await router.until("generation 2")
            assert '"two"' in await router.get("/v1/chat/completions", CHAT)
            file.write_text("{")
            await router.until("the last good one stays in force")
            assert '"two"' in await router.get("/v1/chat/completions", CHAT)
            router.process.send_signal(signal.SIGTERM)
            out, rest = await router.process.communicate()
            assert router.process.returncode == 0
    assert out.count(b'"surface":"chat","status":200') == 3
    assert b"a-secret-word" not in out + rest + router.said.encode()


async def test_requests_under_way_finish_before_it_ends(tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly(talk: object) -> None:
        begun.set()
        await go.wait()
        await answers("late")(talk)  # type: ignore[arg-type]

    file = tmp_path / "table.json"
    async with Upstream(slowly) as up:
        file.write_bytes(encode(table(up.url)))
        async with running("--table", str(file)) as router:
            waiting = asyncio.create_task(router.get("/v1/chat/completions", CHAT))
            await begun.wait()
            router.process.send_signal(signal.SIGTERM)
            await router.until("stopping")
            go.set()
            assert '"late"' in await waiting
            assert await router.process.wait() == 0


async def test_in_a_cluster_it_waits_for_its_table_and_then_is_ready() -> None:
    async with FakeKubeAPI() as api:
        at = ("--watch-configmap", "default/routes")
        async with running(*at, environ={"HINF_KUBE_API": api.url}) as router:
            assert "503" in await router.get("/readyz")
            document = encode(table("http://127.0.0.1:9/v1")).decode()
            await api.put("configmaps", config_map("routes", {"table.json": document}))
            await router.until("table watch of local in force")
            assert "200 OK" in await router.get("/readyz")
            await api.stop()
            assert "200 OK" in await router.get("/readyz")
            await api.start()


async def test_a_port_that_is_taken_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_bytes(encode(table("http://a/v1")))
    async with Upstream() as taken:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hybrid_router", "--table", str(file),
            "--host", "127.0.0.1", "--port", str(taken.port), "--log-level", "error",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"hinf-router: ")
    assert b"address already in use" in said.lower()
    assert said.count(b"\n") == 1
