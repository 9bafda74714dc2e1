"""What the API server admits and what it refuses, in which words."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import admission, kube

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2 as httpx

BAD = admission.bad()


def post(api: httpx.Client, namespace: str, resource: dict[str, Any]) -> httpx.Response:
    resource = {**resource, "metadata": {**resource["metadata"], "namespace": namespace}}
    return api.post(kube.resources(namespace), json=resource, params=kube.DRY_RUN)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.path.stem) for case in BAD])
def test_a_bad_resource_is_refused_in_words_that_say_what_to_do(
    api: httpx.Client, shared_namespace: str, case: admission.Case
):
    answer = post(api, shared_namespace, yaml.safe_load(case.text))

    assert not answer.is_success, "it was admitted"
    assert kube.complaints(answer) == sorted(case.api)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in admission.good()])
def test_a_good_resource_is_admitted_as_it_stands(
    api: httpx.Client, shared_namespace: str, path: Path
):
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    resources = [each for each in documents if each and each["kind"] == "HybridInference"]

    assert resources
    for resource in resources:
        answer = post(api, shared_namespace, resource)
        assert answer.is_success, kube.complaints(answer)


def test_there_are_enough_bad_resources_to_trust_the_rules():
    assert len(BAD) >= 50


def test_the_api_server_adds_nothing_to_a_resource(api: httpx.Client, shared_namespace: str):
    """So that Argo CD sees no difference, and a later release's defaults reach old resources."""
    minimal = yaml.safe_load((admission.GOLDEN / "good" / "minimal.yaml").read_text())

    answer = post(api, shared_namespace, minimal)

    assert answer.json()["spec"] == minimal["spec"]


def _explain(path: str) -> str:
    done = subprocess.run(
        ["kubectl", "explain", path], capture_output=True, text=True, check=False, timeout=60
    )
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("hinf.spec.models", "Small language models on the cluster's own accelerators."),
        ("hinf.spec.models.accelerator", "GPUs per replica (the tensor parallel size)."),
        ("hinf.spec.models.scaling", "0 lets the model sleep while the API answers."),
        (
            "hinf.spec.routing.dataPolicy",
            "Requests with these never leave the cluster, whatever fails.",
        ),
        ("hinf.status", "Base URL for OpenAI clients within the cluster."),
    ],
)
@pytest.mark.usefixtures("api")
def test_kubectl_explain_speaks_in_sentences(path: str, sentence: str):
    deadline = time.monotonic() + 60  # the API server publishes a changed CRD's OpenAPI later
    while sentence not in (said := _explain(path)):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def test_kubectl_get_shows_what_matters_first(api: httpx.Client):
    table = api.get(
        "/apis/hybridinference.dev/v1alpha1/hybridinferences",
        headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    ).json()

    columns = [(c["name"], c["priority"]) for c in table["columnDefinitions"]]
    assert [name for name, priority in columns if priority == 0] == [
        "Name",
        "Ready",
        "Models",
        "Replicas",
        "Endpoint",
        "Age",
    ]
    assert [name for name, priority in columns if priority == 1] == ["Degraded", "Reason"]
