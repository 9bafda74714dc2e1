"""A real KEDA wakes a model in mode External and puts it to sleep; run by `make test-full`.

What KEDA reads is a router's metric, on a page that the test writes. Its operator alone goes from
zero to one and back; what is between, an HPA does, for which KEDA's metrics server would be needed.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2 as httpx
import pytest

from hybrid_operator.core import naming
from hybrid_operator.metrics.diverted import WAITING
from tests.support.operators import Cluster, Object, OperatorProcess, model, resource, until
from tests.support.vllm import free_port

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[3]
NOTE = ROOT / "build" / "integration" / "keda"
"""Where tests/integration/prepare noted the folders of KEDA's program and of its CRDs."""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
BACKEND = "local/llama-3-8b"
LABEL = "app.kubernetes.io/name"


@pytest.fixture
def page() -> Iterator[dict[str, str]]:
    """What a server on loopback says at any path: its "text"; its "url"."""
    said = {"text": f'{WAITING}{{backend="{BACKEND}"}} 0\n'}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = said["text"].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        said["url"] = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield said
        server.shutdown()


@pytest.fixture
def keda(api: httpx.Client, own_cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """KEDA's operator for the test's namespace; yields its log."""
    assert NOTE.exists(), "KEDA is not built yet: HINF_FULL=1 tests/integration/prepare"
    program, crds = map(Path, NOTE.read_text().split())
    made = []
    for file in sorted(crds.glob("*.yaml")):
        head = {"content-type": "application/yaml"}
        answer = api.post(CRDS, content=file.read_bytes(), headers=head)
        if answer.is_success:
            made.append(answer.json()["metadata"]["name"])
    until(
        lambda: api.get("/apis/keda.sh/v1alpha1/scaledobjects").is_success,
        "the API server serves ScaledObjects",
    )
    log = tmp_path / "keda.log"
    with log.open("wb") as out:
        command = [str(program / "operator"), *_flags(tmp_path)]
        environment = os.environ | {
            "WATCH_NAMESPACE": own_cluster.namespace,
            "POD_NAMESPACE": own_cluster.namespace,
            "KEDA_CLUSTER_OBJECT_NAMESPACE": own_cluster.namespace,
        }
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    yield log
    process.terminate()
    process.wait(30)
    for name in made:
        api.delete(f"{CRDS}/{name}")
    until(
        lambda: not any(api.get(f"{CRDS}/{name}").is_success for name in made),
        "KEDA's CRDs are gone: whoever comes next would find them and then lose them",
    )


def _flags(folder: Path) -> list[str]:
    """Return KEDA's flags, with a certificate made for what serves its metrics server."""
    certificates = folder / "certs"
    certificates.mkdir()
    key, certificate = certificates / "tls.key", certificates / "tls.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    (certificates / "ca.crt").write_bytes(certificate.read_bytes())
    flags = {
        "cert-dir": str(certificates),
        "metrics-bind-address": f"127.0.0.1:{free_port()}",
        "health-probe-bind-address": f"127.0.0.1:{free_port()}",
        "metrics-service-bind-address": f"127.0.0.1:{free_port()}",
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def scaled_object(cluster: Cluster, target: str, url: str) -> Object:
    trigger = {
        "url": url,
        "format": "prometheus",
        "valueLocation": f'{WAITING}{{backend="{BACKEND}"}}',
        "targetValue": "4",
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": target, "namespace": cluster.namespace},
        "spec": {
            "scaleTargetRef": {"name": target},
            "minReplicaCount": 0,
            "maxReplicaCount": 3,
            "pollingInterval": 1,
            "cooldownPeriod": 2,
            "triggers": [{"type": "metrics-api", "metadata": trigger}],
        },
    }


def test_keda_wakes_a_model_for_what_waits_at_its_router_and_puts_it_to_sleep(
    api: httpx.Client,
    own_cluster: Cluster,
    start: Callable[..., OperatorProcess],
    keda: Path,
    page: dict[str, str],
):
    start().until_leading()
    own_cluster.apply(resource("slept", model(scaling={"mode": "External", "min": 0, "max": 3})))
    own_cluster.until_settled("slept")
    name = naming.engine("slept", "llama-3-8b")

    def replicas() -> int:
        found: int = own_cluster.read("Deployment", name)["spec"]["replicas"]
        return found

    assert replicas() == 0
    path = f"/apis/keda.sh/v1alpha1/namespaces/{own_cluster.namespace}/scaledobjects"
    answer = api.post(path, json=scaled_object(own_cluster, name, page["url"]))
    assert answer.is_success, answer.text
    try:
        page["text"] = f'{WAITING}{{backend="{BACKEND}"}} 2\n'
        until(lambda: replicas() == 1, "KEDA wakes the model", 120)
        own_cluster.merge("Service", name, {"metadata": {"labels": {LABEL: "x"}}})
        until(
            lambda: own_cluster.read("Service", name)["metadata"]["labels"][LABEL] == "vllm",
            "the operator was here since",
        )
        assert replicas() == 1
        page["text"] = f'{WAITING}{{backend="{BACKEND}"}} 0\n'
        until(lambda: replicas() == 0, "KEDA puts it to sleep", 120)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{keda.read_text()[-3000:]}") from None
    finally:
        api.delete(f"{path}/{name}")
