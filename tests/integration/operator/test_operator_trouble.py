"""Resources that cannot be carried out, and what that means for the others: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hybrid_operator.core import naming
from tests.support import kube
from tests.support.operators import Cluster, Object, model, resource, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)


def _bad() -> Object:
    bad = resource("bad")
    bad["spec"]["models"] = [{"name": "m", "accelerator": "many"}]
    return bad


def _refused(cluster: Cluster) -> bool:
    answer = cluster.http.post(
        cluster.path("HybridInference"), json=_bad(), params={"dryRun": "All"}
    )
    return bool(answer.status_code == 422)


@pytest.fixture
def lenient_crd(cluster: Cluster) -> Iterator[None]:
    """The CRD as an earlier release might have had it: no checks below spec."""
    http = cluster.http
    before = http.get(kube.CRD).json()
    schema = before["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    schema["properties"]["spec"] = {
        "type": "object",
        "description": spec.get("description", ""),
        "x-kubernetes-preserve-unknown-fields": True,
    }
    versions = before["spec"]["versions"]
    patch: dict[str, Any] = {"spec": {"versions": versions}}
    original = http.get(kube.CRD).json()["spec"]["versions"]
    merge = {"content-type": "application/merge-patch+json"}
    assert http.patch(kube.CRD, json=patch, headers=merge).is_success
    yield
    restored = http.patch(kube.CRD, json={"spec": {"versions": original}}, headers=merge)
    assert restored.is_success, restored.text
    until(lambda: all(_refused(cluster) for _ in range(5)), "the strict schema is in force again")


def test_a_child_that_the_api_server_refuses_is_named_and_stops_no_other(cluster: Cluster):
    cluster.apply(resource("refused", model(podTemplate={"spec": {"nodeSelector": {"a b": "c"}}})))
    cluster.apply(resource("fine"))
    cluster.until_settled("fine")

    def told() -> bool:
        text = yaml.safe_dump(cluster.read("HybridInference", "refused").get("status", {}))
        return naming.engine("refused", "llama-3-8b") in text or "nodeSelector" in text

    until(told, "the status names what is refused")
    cluster.apply(resource("refused", model()))
    until(
        lambda: cluster.get("Deployment", naming.engine("refused", "llama-3-8b")),
        "the engine is made once the template is mended",
    )


def test_a_namespace_that_is_deleted_is_no_trouble(api, start, own_cluster: Cluster):
    operator = start()
    operator.until_leading()
    own_cluster.apply(resource("ending", model()))
    own_cluster.until_settled("ending")
    api.delete(f"/api/v1/namespaces/{own_cluster.namespace}")
    until(
        lambda: api.get(f"/api/v1/namespaces/{own_cluster.namespace}").status_code == 404,
        "the namespace is gone",
        90,
    )
    assert operator.process.poll() is None


@pytest.mark.usefixtures("lenient_crd")
def test_a_resource_stored_before_the_schema_got_stricter_stops_no_other(cluster: Cluster):
    def stored() -> bool:
        answer = cluster.http.post(cluster.path("HybridInference"), json=_bad())
        return answer.is_success or answer.status_code == 409

    until(stored, "the lenient schema is in force")
    cluster.apply(resource("good"))
    cluster.until_settled("good")
    until(lambda: "Valid" in cluster.conditions("bad"), "the bad one has a condition")
    told = cluster.conditions("bad")["Valid"]
    assert told["status"] == "False"
    assert "accelerator" in told["message"]
    assert cluster.children("bad") == set()
    cluster.delete("HybridInference", "bad")
