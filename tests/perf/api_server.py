"""An API server and its etcd on ports of their own: no controllers, no nodes, no pods that run."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx2 as httpx
import yaml

from tests.perf import audit

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "crds" / "hybridinference.dev_hybridinferences.yaml"
READY_SECONDS = 180.0


class ApiServer:
    """Runs while entered; everything of it is gone afterwards."""

    def __init__(self, state: Path | None = None) -> None:
        """Keep etcd's data in `state`, which outlives it."""
        self._folder = Path(tempfile.mkdtemp(prefix="hinf-bench-"))
        self._state = state or self._folder / "etcd"
        self._token = secrets.token_hex(16)
        self._by_name: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()
        self.kubeconfig = self._folder / "kubeconfig"
        self.audit_log = self._folder / "audit.log"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by program."""
        return {name: process.pid for name, process in self._by_name.items()}

    @property
    def url(self) -> str:
        """Base URL; its certificate is self-signed."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send."""
        return {"authorization": f"Bearer {self._token}"}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        processes = [*reversed(self._by_name.values())]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        shutil.rmtree(self._folder)

    def writes(self, since: int = 0) -> Counter[str]:
        """Count the operator's writes since then; see `audit.writes` and `mark`."""
        return audit.writes(self.audit_log, since)

    def mark(self) -> int:
        """Return where the audit log ends now."""
        return self.audit_log.stat().st_size

    def _start(self) -> None:
        program = subprocess.run(
            [ROOT / "tests" / "cluster" / "control-plane"], check=True, stdout=subprocess.PIPE
        )
        controlplane = program.stdout.decode().strip()
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._run("etcd", [controlplane, *_etcd(self._state, client, peer)])
        self._files()
        self._run("kube-apiserver", [controlplane, *self._flags(client)])
        with httpx.Client(base_url=self.url, headers=self.headers, verify=False) as http:
            self._wait(http)
            manifest = CRD.read_bytes()
            name = yaml.safe_load(manifest)["metadata"]["name"]
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            params = {"fieldManager": "bench", "force": "true"}
            apply = {"content-type": "application/apply-patch+yaml"}
            http.patch(path, content=manifest, params=params, headers=apply).raise_for_status()

    def _run(self, name: str, command: Sequence[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._by_name[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _wait(self, http: httpx.Client) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if http.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            dead = [process for process in self._by_name.values() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                tail = (self._folder / "kube-apiserver.log").read_text()[-2000:]
                raise RuntimeError(f"the API server does not come up:\n{tail}")
            time.sleep(0.2)

    def _files(self) -> None:
        folder, token = self._folder, self._folder / "token"
        token.write_text(self._token)
        (folder / "tokens.csv").write_text(f"{self._token},bench,bench\n")
        (folder / "audit.yaml").write_text(yaml.safe_dump(audit.POLICY))
        key = folder / "service-account.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL
        )
        # A token in a file is what an operator in a pod has, and tells it to ask pods directly.
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        context = {"cluster": "bench", "user": "bench", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": context}],
            "clusters": [{"name": "bench", "cluster": cluster}],
            "users": [{"name": "bench", "user": {"tokenFile": str(token), "token": self._token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _flags(self, etcd: str) -> list[str]:
        key = str(self._folder / "service-account.key")
        flags = {
            "etcd-servers": etcd,
            "bind-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self._folder / "certificates"),
            "token-auth-file": str(self._folder / "tokens.csv"),
            "authorization-mode": "AlwaysAllow",
            "service-cluster-ip-range": "10.0.0.0/12",
            "service-account-issuer": "https://bench.invalid",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none",
            "audit-policy-file": str(self._folder / "audit.yaml"),
            "audit-log-path": str(self.audit_log),
            "max-requests-inflight": "4000",
            "max-mutating-requests-inflight": "2000",
        }
        return ["kube-apiserver", *(f"--{name}={value}" for name, value in flags.items())]


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _etcd(data: Path, client: str, peer: str) -> list[str]:
    flags = {
        "data-dir": str(data),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "log-level": "warn",
    }
    options = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return ["etcd", *options, "--unsafe-no-fsync"]
