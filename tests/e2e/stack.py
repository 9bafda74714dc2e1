"""What the end-to-end tests share: kubectl, resources, a scripted provider, ways in."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import openai
import yaml

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "hybridinference-system"
RELEASE = "hybridinference"
NAMESPACE = "hinf-e2e"
PROVIDER = Path(__file__).with_name("scripted_provider.py")
PROVIDER_URL = f"http://scripted.{NAMESPACE}.svc/v1"
LOCAL, CLAIM = "tiny-llama", "tiny-model"
ADAPTER = "other-words"
"""Name of the adapter that the vLLM of all tests serves beside its model."""
SIMPLE = "Summarise in one sentence: 'Invoice INV-2041 of 3 May, due in 30 days.'"
COMPLEX = "Prove step by step that there are infinitely many primes of the form 4k + 3."

Object = dict[str, Any]
T = TypeVar("T")


def sh(*command: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run a program; a failure fails the test with what it said."""
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, input=stdin, timeout=timeout
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}: {done.stderr[-3000:] or done.stdout[-3000:]}"
    )
    return done.stdout


def kubectl(*args: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run kubectl in the tests' namespace."""
    return sh("kubectl", "--namespace", NAMESPACE, *args, stdin=stdin, timeout=timeout)


def get(*what: str) -> Object:
    """Return `kubectl get WHAT` as an object."""
    found: Object = json.loads(kubectl("get", *what, "--output", "json"))
    return found


def apply(*objects: Object) -> None:
    """Apply objects."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--filename", "-", stdin=json.dumps(items))


def eventually(what: str, check: Callable[[], T | None], seconds: float = 60) -> T:
    """Return the first true result of `check`; fail with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s; the last was {found!r}"
        time.sleep(0.3)
    return found


def resource(name: str, spec: Object) -> Object:
    """Return a HybridInference."""
    return {
        "apiVersion": "hybridinference.dev/v1alpha1",
        "kind": "HybridInference",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def provider(*models: str, **more: Any) -> Object:
    """Return the scripted provider as a part of a resource, with models by what they do."""
    listed = [{"name": name} for name in models]
    kind = {"name": "scripted", "type": "openai-compatible", "baseURL": PROVIDER_URL}
    return kind | {"models": listed} | more


def demo_spec() -> Object:
    """Return the demo's resource, with a tiny random model and with the scripted provider."""
    demo: Object = yaml.safe_load((ROOT / "examples" / "demo-cpu.yaml").read_text())
    (model,) = demo["spec"]["models"]
    model |= {"name": LOCAL, "source": {"pvc": {"claim": CLAIM}}}
    spec: Object = demo["spec"] | {"providers": [provider("ok")]}
    return spec


def condition(name: str, kind: str) -> Object:
    """Return a condition of a resource; empty while it has none."""
    found = get("hinf", name)
    conditions = found.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def is_current(name: str) -> bool:
    """Whether the operator has acted on the resource as it stands."""
    found = get("hinf", name)
    generation: int = found["metadata"]["generation"]
    return bool(found.get("status", {}).get("observedGeneration") == generation)


def wait_for(name: str, kind: str, status: str = "True", seconds: float = 60) -> Object:
    """Wait until a condition has a status for the resource as it stands; return the condition."""

    def check() -> Object | None:
        found = condition(name, kind)
        return found if found.get("status") == status and is_current(name) else None

    try:
        return eventually(f"{kind}={status} of {name}", check, seconds)
    except AssertionError as error:
        pods = kubectl("get", "pods", "--output", "wide")
        raise AssertionError(f"{error}\n{get('hinf', name).get('status')}\n{pods}") from None


def pods(name: str, component: str) -> list[Object]:
    """Return the pods of a resource's component that are not being deleted."""
    labels = f"app.kubernetes.io/instance={name},app.kubernetes.io/component={component}"
    found: list[Object] = get("pods", "--selector", labels)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


@contextlib.contextmanager
def reach(service: str, port: int = 80) -> Iterator[str]:
    """Yield a URL for a Service: its own address where that is reachable, else a forwarded port."""
    url = f"http://{get('service', service)['spec']['clusterIP']}:{port}"
    # A port is forwarded to one pod and ends with it: no substitute, where addresses are
    # reachable, for a Service whose rules kube-proxy is about to write.
    if inside():
        eventually(f"{service} answers", lambda: is_open(url))
    if is_open(url):
        yield url
        return
    command = (
        "kubectl",
        "--namespace",
        NAMESPACE,
        "port-forward",
        f"service/{service}",
        f":{port}",
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        local = forward.stdout.readline().split(" -> ")[0].rsplit(":", 1)[1]
        try:
            yield f"http://127.0.0.1:{local}"
        finally:
            forward.terminate()


def inside() -> bool:
    """Whether the tests run in the cluster's network: the project's own, made without Docker."""
    return "HINF_AUDIT_LOG" in os.environ


def is_open(url: str) -> bool:
    """Whether something answers HTTP there."""
    try:
        with urlopen(f"{url}/healthz", timeout=2):  # noqa: S310  an http URL of this cluster
            return True
    except OSError as error:
        return getattr(error, "code", None) is not None


@contextlib.contextmanager
def client(name: str, key: str = "none") -> Iterator[openai.OpenAI]:
    """Yield openai-python's client for a resource's routers; it does not retry by itself.

    It waits for longer than a router lets anybody wait for a first replica (60 s): given up at the
    same time, a request that the router answers with 503 and Retry-After would be lost.
    """
    with (
        reach(f"{name}-router") as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=120) as found,
    ):
        yield found


@contextlib.contextmanager
def frozen_api_server() -> Iterator[None]:
    """Stop the API server's process, and let it go on in the end."""
    cluster = os.environ.get("HINF_CLUSTER", "hinf")
    if inside():
        state = Path(os.environ["HINF_AUDIT_LOG"]).parent
        signal_it = ["kill", "{}", (state / "run" / "kube-apiserver.pid").read_text().strip()]
    else:
        node = f"{cluster}-control-plane"
        assert node in kubectl("get", "nodes"), "only the project's own clusters can be tested so"
        signal_it = ["docker", "exec", node, "pkill", "{}", "kube-apiserver"]
    sh(*(word.format("-STOP") for word in signal_it))
    try:
        yield
    finally:
        sh(*(word.format("-CONT") for word in signal_it))


def chat(asked: openai.OpenAI, model: str, prompt: str = SIMPLE) -> tuple[str, str, str]:
    """Ask; return (source, reason, text)."""
    raw = asked.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": prompt}], max_tokens=8
    )
    headers = raw.headers
    text = raw.parse().choices[0].message.content or ""
    return headers["x-hybrid-source"], headers["x-hybrid-reason"], text
