"""Processes under measurement: pinned, accounted for by the operating system, and ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.perf.router.gateways import CACHE, KEY, Gateway, Setting

HERE = Path(__file__).resolve().parent
LOAD = HERE.parent / "load"
GATEWAY_CORE, LOAD_CORE = "0", "1"
REAL_TIME = os.geteuid() == 0
"""Before whatever else runs on the machine, where we may: then latencies are the gateway's own."""
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 300.0

Sample = dict[str, Any]


def compiled(name: str) -> Path:
    """Return a program of tests/perf/load, compiled if it changed.

    Raises:
        SystemExit: there is no C compiler.
    """
    source, made = LOAD / f"{name}.c", CACHE / "router-peers" / f"bench-{name}"
    changed = max(source.stat().st_mtime, (LOAD / "common.h").stat().st_mtime)
    if not made.exists() or made.stat().st_mtime < changed:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise SystemExit("the load generator needs a C compiler: apt-get install gcc libc6-dev")
        made.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(made), str(source)], check=True)
    return made


class Running:
    """A gateway under way."""

    def __init__(self, gateway: Gateway, process: subprocess.Popen[bytes], port: int) -> None:
        self.name = gateway.name
        self.port = port
        self._process = process

    def cpu_seconds(self) -> float:
        """Return the CPU time, user and system, of all its processes since they began."""
        return sum(_cpu_ticks(pid) for pid in self._pids()) / TICKS

    def rss_mib(self) -> float:
        """Return the resident memory of all its processes, in MiB."""
        pages = sum(int(_read(f"/proc/{pid}/statm").split()[1]) for pid in self._pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def pause(self) -> None:
        """Stop it while another one is measured."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        return _tree(self._process.pid)


@contextlib.contextmanager
def running(gateway: Gateway, setting: Setting) -> Iterator[Running]:
    """Start a gateway on its core, and end it with all its children.

    Raises:
        RuntimeError: it did not answer in time.
    """
    setting.folder.mkdir(parents=True, exist_ok=True)
    command = [str(word) for word in gateway.command(setting)]
    with (setting.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_on(GATEWAY_CORE), *command],
            stdout=log,
            stderr=log,
            cwd=setting.folder,
            env={**os.environ, **gateway.environment},
            start_new_session=True,
        )
    try:
        _await_ready(gateway, process, setting)
        _prefer(_tree(process.pid))
        yield Running(gateway, process, setting.port)
    finally:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.wait()


@contextlib.contextmanager
def upstream(ports: Sequence[int], chunks: int, interval_us: int) -> Iterator[None]:
    """Run the engine that costs nothing, on the load's core.

    Raises:
        RuntimeError: it ended at once.
    """
    command = [
        *_on(LOAD_CORE, first=True),
        str(compiled("upstream")),
        str(chunks),
        str(interval_us),
    ]
    process = subprocess.Popen([*command, *(str(port) for port in ports)])
    try:
        time.sleep(0.2)
        if process.poll() is not None:
            raise RuntimeError("the upstream did not start; is another bench running?")
        yield
    finally:
        process.kill()
        process.wait()


def start_load(mode: str, port: int, bodies: Path, *amounts: object) -> subprocess.Popen[str]:
    """Start the load generator on its core; `finish_load` returns what it found."""
    command = [*_on(LOAD_CORE, first=True), str(compiled("load")), mode, str(port), str(bodies)]
    return subprocess.Popen(
        [*command, *(str(amount) for amount in amounts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class UnansweredError(RuntimeError):
    """A gateway answered nothing that it was asked, so that there is nothing to measure."""


def finish_load(process: subprocess.Popen[str]) -> Sample:
    """Return what the load generator found.

    Raises:
        UnansweredError: no request was answered with 200.
        RuntimeError: the load generator failed.
    """
    try:
        out, _ = process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError("the load generator failed; what it said stands above")
    found: Sample = json.loads(out)
    if not found["answered"]:
        status = f", the first with {found['refusal']}" if found["refusal"] else ""
        raise UnansweredError(f"{found['refused']} refused{status}, {found['failed']} not answered")
    return found


def load(mode: str, port: int, bodies: Path, *amounts: object) -> Sample:
    """Run the load generator to its end."""
    return finish_load(start_load(mode, port, bodies, *amounts))


def accounted(gateway: Running, mode: str, bodies: Path, *amounts: object) -> Sample:
    """Run a load on a gateway; adds `cpu_us` per request, or per chunk of streams."""
    before = gateway.cpu_seconds()
    found = load(mode, gateway.port, bodies, *amounts)
    spent = gateway.cpu_seconds() - before
    count = found["chunks"] if mode == "streams" else found["answered"]
    found["cpu_us"] = spent * 1e6 / max(1, count)
    found["per_second"] = found["answered"] / found["seconds"]
    return found


def _await_ready(gateway: Gateway, process: subprocess.Popen[bytes], setting: Setting) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", setting.port, timeout=5)
            connection.request("GET", gateway.path, headers={"authorization": f"Bearer {KEY}"})
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{gateway.name} does not answer; see {setting.folder / 'log'}")


def _on(core: str, *, first: bool = False) -> list[str]:
    before = ("chrt", "-f", "1") if first and REAL_TIME else ()
    return [*before, "taskset", "-c", core]


def _prefer(pids: Sequence[int]) -> None:
    """Let a gateway that has started run before other programs."""
    if not REAL_TIME:
        return
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names alone are wanted
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))


def _tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names alone are wanted
            for child in _read(f"/proc/{pid}/task/{thread}/children").split():
                found += _tree(int(child))
    return found


def _cpu_ticks(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii", errors="replace")
