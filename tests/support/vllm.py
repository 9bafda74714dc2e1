"""A real vLLM on this machine's CPU, and a real router, each a process on loopback.

The environment and the models come from tests/cluster, whose cache they are kept in.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
NAME = "tiny"
START_S = 500
"""Two engines start in one to two minutes on two cores; others may use these, too."""


@dataclass
class Process:
    """A program that listens on loopback."""

    port: int
    popen: subprocess.Popen[bytes]
    log: Path

    def wait(self, path: str, seconds: float) -> None:
        """Wait until it answers at `path`."""
        end = time.monotonic() + seconds
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                    reply.read()
            except (URLError, OSError):
                assert self.popen.poll() is None, f"it ended: {self.log.read_text()[-3000:]}"
                assert time.monotonic() < end, f"not within {seconds} s; see {self.log}"
                time.sleep(0.2)
            else:
                return

    def kill(self) -> None:
        """End it and its children at once, as a lost node would."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


def made(what: str) -> Path:
    """Return the folder of something that a script of tests/cluster has made."""
    cache = os.environ.get("HINF_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = (Path(cache) if cache else home / "hybrid-inference") / what / "current"
    assert folder.exists(), f"{what} is not there: run tests/cluster/{what}"
    return folder.resolve()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    command: Sequence[str], port: int, log: Path, env: dict[str, str] | None = None
) -> Process:
    """Start a program that will listen at a port; its output goes to a file."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
    return Process(port, popen, log)


@contextmanager
def engines(count: int, model: str, folder: Path, *arguments: str) -> Iterator[list[Process]]:
    """Run so many vLLMs of a model that tests/cluster has made, ready to answer."""
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CACHE_ROOT": str(folder / "cache"),
    }
    program, weights = made("vllm-env") / "bin" / "vllm", made(model)
    started: list[Process] = []
    try:
        for index in range(count):
            port = free_port()
            command = [
                str(program), "serve", str(weights), "--served-model-name", NAME,
                "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "8192",
                "--enforce-eager", *arguments,
            ]  # fmt: skip
            started.append(start(command, port, folder / f"vllm-{index}.log", env))
        for engine in started:
            engine.wait("/v1/models", START_S)
        yield started
    finally:
        for engine in started:
            engine.kill()


@contextmanager
def hinf_router(table: dict[str, Any], folder: Path) -> Iterator[Process]:
    """Run `hinf-router` with a table."""
    file = folder / "table.json"
    file.write_text(json.dumps({"version": 1, **table}))
    port = free_port()
    command = [
        str(ROOT / ".venv" / "bin" / "hinf-router"), "--table", str(file),
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    process = start(command, port, folder / "router.log")
    try:
        process.wait("/readyz", 30)
        yield process
    finally:
        process.kill()
