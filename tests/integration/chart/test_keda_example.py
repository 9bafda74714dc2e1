"""The example for KEDA is what KEDA's own CRD takes; run by `make test-full`, for it needs Go."""

import time
from pathlib import Path

import pytest
import yaml

from hybrid_operator.core import naming
from hybrid_operator.metrics.diverted import TOKENS, WAITING
from tests.integration.chart.programs import ROOT
from tests.support.operators import Object, until

EXAMPLES = ROOT / "examples" / "autoscaling"
NOTE = ROOT / "build" / "integration" / "keda-crd"
"""Where tests/integration/prepare noted the place of KEDA's CRD."""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "scaledobjects.keda.sh"
APPLY = {"content-type": "application/apply-patch+yaml"}
STRICT = {"fieldManager": "tests", "fieldValidation": "Strict", "dryRun": "All"}


@pytest.fixture(scope="module")
def scaled_objects(api):
    """Return the path of ScaledObjects, with KEDA's CRD there; where KEDA is, its own stays."""
    there = api.get(f"{CRDS}/{NAME}").is_success
    if not there:
        assert NOTE.exists(), "KEDA's CRD is not there yet: HINF_FULL=1 tests/integration/prepare"
        manifest = Path(NOTE.read_text().strip()).read_bytes()
        answer = api.post(CRDS, content=manifest, headers={"content-type": "application/yaml"})
        assert answer.is_success, answer.text
    path = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects"
    until(lambda: api.get(path).is_success, "the API server serves ScaledObjects")
    time.sleep(1)
    yield path
    if not there:
        api.delete(f"{CRDS}/{NAME}")
        until(lambda: not api.get(f"{CRDS}/{NAME}").is_success, "the CRD is gone")


def example() -> Object:
    found: Object = yaml.safe_load((EXAMPLES / "keda.yaml").read_text())
    return found


def test_the_example_is_a_scaled_object_by_kedas_own_schema(api, scaled_objects):
    obj = example()
    path = f"{scaled_objects}/{obj['metadata']['name']}"
    answer = api.patch(path, json=obj, headers=APPLY, params={**STRICT, "force": "true"})
    assert answer.is_success, answer.text


def test_a_field_that_keda_does_not_know_is_told_of(api, scaled_objects):
    obj = example()
    obj["spec"]["coolDownPeriod"] = 1
    path = f"{scaled_objects}/{obj['metadata']['name']}"
    answer = api.patch(path, json=obj, headers=APPLY, params={**STRICT, "force": "true"})
    assert "coolDownPeriod" in answer.text
    assert not answer.is_success


def test_it_scales_the_deployment_that_the_operator_makes():
    resource = yaml.safe_load((EXAMPLES / "hybridinference.yaml").read_text())
    model = resource["spec"]["models"][0]["name"]
    target = example()["spec"]["scaleTargetRef"]["name"]
    assert target == naming.engine(resource["metadata"]["name"], model)


def test_it_is_woken_by_what_went_past_the_model_and_by_who_waits_for_it():
    """A request that must stay local goes past nothing: it waits, and is told 503 in the end."""
    (trigger,) = example()["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    backend = 'namespace="default",backend="local/qwen3-4b"'
    assert f"sum(rate({TOKENS}{{{backend}}}[1m]) or vector(0))" in query
    assert f"sum({WAITING}{{{backend}}} or vector(0))" in query
