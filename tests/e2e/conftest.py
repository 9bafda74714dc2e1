"""One operator, one vLLM and one scripted provider for all end-to-end tests."""

import json
import os

import pytest

from tests.e2e import stack
from tests.e2e.stack import NAMESPACE, RELEASE, ROOT, SYSTEM, apply, kubectl, sh

collect_ignore = [] if os.environ.get("HINF_FULL") else ["test_e2e_5_scale_down.py"]
"""What `make test-full` alone runs."""
ENGINE_S = 300
"""A vLLM starts in one to two minutes on two busy cores."""


@pytest.fixture(scope="session")
def images():
    """Return the images by name; tests/e2e/prepare has built them and noted their names."""
    notes = ROOT / "build" / "e2e" / "images"
    assert notes.exists(), "the images are not there yet: run tests/e2e/prepare, or make test-e2e"
    return dict(line.split() for line in notes.read_text().splitlines())


@pytest.fixture(scope="session")
def operator(images):
    """Install the chart, as a user does."""
    was_there = RELEASE in sh("helm", "list", "--namespace", SYSTEM, "--short")
    values = {}
    for name, image in images.items():
        repository, tag = image.rsplit(":", 1)
        values[name] = {"image": {"repository": repository, "tag": tag}}
    sh(
        "helm", "upgrade", "--install", RELEASE, "charts/hybridinference", "--namespace", SYSTEM,
        "--create-namespace", "--wait", "--timeout", "3m", "--take-ownership",
        "--set-json", f"operator={json.dumps(values['operator'])}",
        "--set-json", f"router={json.dumps(values['router'])}",
        timeout=240,
    )  # fmt: skip
    yield
    if not was_there:
        sh("helm", "uninstall", RELEASE, "--namespace", SYSTEM, "--wait", timeout=120)


@pytest.fixture(scope="session")
def namespace(operator):  # noqa: ARG001  it must run
    """Make the namespace with vLLM's volumes; delete it in the end."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    sh("kubectl", "apply", "--filename", "-", stdin=json.dumps(space))
    sh("tests/cluster/volumes", NAMESPACE, timeout=600)
    yield NAMESPACE
    # An engine takes a minute to end in peace, which nobody is here to see.
    kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    sh("kubectl", "delete", "namespace", NAMESPACE, "--timeout=120s", timeout=150)


@pytest.fixture(scope="session")
def scripted(namespace, images):  # noqa: ARG001  it must exist
    """Run the scripted provider in a pod."""
    labels = {"app": "scripted"}
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "scripted"},
        "data": {"provider.py": stack.PROVIDER.read_text()},
    }
    container = {
        "name": "provider",
        "image": images["router"],
        "command": ["python3", "/script/provider.py"],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/v1/models", "port": 8000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "script", "mountPath": "/script"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "scripted", "labels": labels},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "script", "configMap": {"name": "scripted"}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "scripted"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    apply(script, pod, service)
    kubectl("wait", "pod/scripted", "--for=condition=Ready", "--timeout=60s", timeout=90)


@pytest.fixture(scope="session")
def starting(scripted):  # noqa: ARG001  it must run
    """Apply the demo's resource, with the scripted provider in place of its second vLLM.

    Its vLLM, which serves an adapter too, starts while the tests that need none run.
    """
    spec = stack.demo_spec()
    source = {"pvc": {"claim": stack.CLAIM, "path": "adapter"}}
    spec["models"][0]["loras"] = [{"name": stack.ADAPTER, "source": source, "rank": 8}]
    apply(stack.resource("main", spec))
    return "main"


@pytest.fixture(scope="session")
def main(starting):
    """Wait until the vLLM of `starting` answers; return the resource's name."""
    stack.wait_for(starting, "EnginesReady", seconds=ENGINE_S)
    stack.wait_for(starting, "RouterReady")
    stack.wait_for(starting, "Ready")
    return starting


@pytest.fixture
def make(starting):  # noqa: ARG001  its vLLM starts meanwhile
    """Return a function that applies a resource and deletes it after the test."""
    made = []

    def make_resource(name, spec):
        apply(stack.resource(name, spec))
        made.append(name)
        return name

    yield make_resource
    for name in made:
        kubectl("delete", "hinf", name, "--ignore-not-found", "--wait=false")
