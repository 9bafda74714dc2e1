"""The gateways that are compared: how each is installed and started.

Peers come from PyPI, each into an environment of its own below $HINF_CACHE, made the first time.
Ours runs as its image does: Debian's Python 3.11, which is compiled with profile-guided
optimisation (a Python from pyenv is not, and a quarter slower), what requirements/router.txt
locks, and the hot path compiled (`tools/compile.py`). `interpreted` is the same without that.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.compile import OUT, compile_router

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(
    os.environ.get("HINF_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hybrid-inference"
)
SYSTEM_PYTHON = "/usr/bin/python3"
KEY = "sk-bench-0123456789abcdefghijklmnopqrst"
MODEL = "tiny"
OTHER_KEYS = 100

VLLM_ROUTER = "vllm-router==0.1.17"
SMG = "smg==1.13.0"
LITELLM = "litellm[proxy]==1.106.2"


@dataclass(frozen=True)
class Setting:
    """Where a gateway runs and whom it asks.

    Attributes:
        folder: for its files.
        port: it listens there, at 127.0.0.1; the next one is free for metrics.
        upstreams: ports of two replicas of one engine, and of what stands for an external API.
        options: of ours only: fields of the table's policy.
    """

    folder: Path
    port: int
    upstreams: tuple[int, int, int]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def urls(self) -> list[str]:
        """Base URLs of the two replicas, without a path."""
        return [f"http://127.0.0.1:{port}" for port in self.upstreams[:2]]


@dataclass(frozen=True)
class Gateway:
    """One gateway.

    Attributes:
        name: in the table.
        command: what starts it; makes what it needs below $HINF_CACHE.
        environment: beside ours.
        path: that answers 200 once it is ready.
    """

    name: str
    command: Callable[[Setting], Sequence[str]]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/models"


def environment(requirement: str, python: str = SYSTEM_PYTHON) -> Path:
    """Return the folder of an environment with that requirement; makes it the first time."""
    name = requirement.replace("==", "-").replace("[proxy]", "")
    made = CACHE / "router-peers" / name
    if not (made / "complete").exists():
        _say(f"installing {requirement} (once)")
        _run(python, "-m", "venv", "--clear", made)
        _run(made / "bin" / "pip", "install", "--quiet", requirement)
        (made / "complete").touch()
    return made


def _own() -> Path:
    """Return the environment of our own router: what its image has."""
    locked = ROOT / "requirements" / "router.txt"
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:12]
    made = CACHE / "router-peers" / f"ours-{digest}"
    if not (made / "complete").exists():
        _say("installing what requirements/router.txt locks (once)")
        python = SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable
        _run(python, "-m", "venv", "--clear", made)
        _run(made / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", locked)
        (made / "complete").touch()
    compile_router()
    check = "import hybrid_router.pipeline as p, sys; sys.exit(not p.__file__.endswith('.so'))"
    command = (str(made / "bin" / "python"), "-c", check)
    if subprocess.run(command, env={"PYTHONPATH": str(OUT)}, check=False).returncode:
        raise SystemExit("what was compiled is not for this Python; is .venv of Python 3.11?")
    return made


def table(setting: Setting) -> dict[str, Any]:
    """Return the RouteTable: two replicas of one engine, and an external model behind them."""
    targets = [{"backend": "local", "model": MODEL}, {"backend": "api", "model": MODEL}]
    return {
        "version": 1,
        "models": {
            MODEL: {"targets": targets},
            "auto": {"targets": targets, "classified": True},
        },
        "backends": {
            "local": {
                "trust": "internal", "engine": "vllm", "urls": [f"{u}/v1" for u in setting.urls],
            },
            "api": {
                "trust": "external", "provider": "openai",
                "urls": [f"http://127.0.0.1:{setting.upstreams[2]}/v1"],
            },
        },
        "keys": {"directory": str(setting.folder / "keys")},
        "policy": setting.options,
    }  # fmt: skip


def _ours(setting: Setting) -> Sequence[str]:
    keys = setting.folder / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    (keys / "bench").write_text(KEY)
    for number in range(OTHER_KEYS):
        (keys / f"other-{number}").write_text(f"sk-other-{number:04d}-0123456789abcdefghijkl")
    file = setting.folder / "table.json"
    file.write_text(json.dumps(table(setting)))
    python = str(_own() / "bin" / "python")
    return (
        python, "-m", "hybrid_router", "--table", str(file), "--host", "127.0.0.1",
        "--port", str(setting.port), "--log-level", "warning",
    )  # fmt: skip


def _vllm_router(setting: Setting) -> Sequence[str]:
    return (
        str(environment(VLLM_ROUTER) / "bin" / "vllm-router"), "--worker-urls", *setting.urls,
        "--policy", "round_robin", "--host", "127.0.0.1", "--port", str(setting.port),
        "--prometheus-port", str(setting.port + 1), "--log-level", "error",
    )  # fmt: skip


def _smg(setting: Setting) -> Sequence[str]:
    return (
        str(environment(SMG) / "bin" / "smg"), "launch", "--worker-urls", *setting.urls,
        "--policy", "round_robin", "--host", "127.0.0.1", "--port", str(setting.port),
        "--prometheus-port", str(setting.port + 1), "--log-level", "error",
    )  # fmt: skip


def _litellm(setting: Setting) -> Sequence[str]:
    setting.folder.mkdir(parents=True, exist_ok=True)
    file = setting.folder / "litellm.yaml"
    models = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "sk-upstream",
            },
        }
        for url in setting.urls
    ]  # fmt: skip
    file.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    return (
        str(environment(LITELLM) / "bin" / "litellm"), "--config", str(file),
        "--host", "127.0.0.1", "--port", str(setting.port), "--num_workers", "1",
    )  # fmt: skip


OURS = Gateway("hinf-router", _ours, {"PYTHONPATH": str(OUT)}, "/readyz")
PEERS = (
    Gateway("interpreted", _ours, {"PYTHONPATH": str(ROOT / "router")}, "/readyz"),
    Gateway("vllm-router", _vllm_router),
    Gateway("smg", _smg),
    Gateway(
        "litellm",
        _litellm,
        {"LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "1"},
        "/health/liveliness",
    ),
)
GATEWAYS = {gateway.name: gateway for gateway in (OURS, *PEERS)}


def _say(text: str) -> None:
    sys.stderr.write(f"bench-router: {text}\n")


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)
