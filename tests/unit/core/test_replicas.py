"""Replicas: sent while the number is ours, left alone once it is somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.api.models import Scaling
from hybrid_operator.core import replicas

OURS = {
    "manager": "hybridinference",
    "operation": "Apply",
    "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}},
}
SCALED = {
    "manager": "kubectl",
    "operation": "Update",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}
AUTOSCALER = {**SCALED, "manager": "hybridinference-autoscaler"}
HPA = {
    "manager": "kube-controller-manager",
    "operation": "Update",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}
DEPLOYMENT_CONTROLLER = {
    "manager": "kube-controller-manager",
    "operation": "Update",
    "subresource": "status",
    "fieldsV1": {"f:status": {"f:replicas": {}}},
}


def live(number: int | None, *managers: dict[str, Any]) -> dict[str, Any]:
    spec = {} if number is None else {"replicas": number}
    return {"metadata": {"managedFields": [OURS, DEPLOYMENT_CONTROLLER, *managers]}, "spec": spec}


def scaling(**fields: Any) -> Scaling:
    return Scaling(**fields)


CASES = [
    pytest.param(None, None, 1, id="a new engine starts with one"),
    pytest.param(scaling(min=3, max=5), None, 3, id="a new engine starts with min"),
    pytest.param(scaling(min=0, max=4), None, 0, id="at min 0 a new engine starts with none"),
    pytest.param(scaling(min=0, max=4), live(0), 0, id="at zero it stays at zero"),
    pytest.param(scaling(min=0, max=4), live(2), 2, id="the observed number is sent on"),
    pytest.param(scaling(min=2, max=4), live(1), 2, id="a raised min takes effect"),
    pytest.param(scaling(min=1, max=2), live(4), 2, id="a lowered max takes effect"),
    pytest.param(None, live(4), 1, id="without scaling there is one"),
    pytest.param(scaling(min=2), live(1), 2, id="max is at least min"),
    pytest.param(scaling(mode="External"), live(7), 7, id="an external scaler's number is kept"),
    pytest.param(scaling(mode="Recommend", max=2), live(7), 7, id="recommending changes nothing"),
    pytest.param(scaling(min=1, max=2), live(9, SCALED), None, id="kubectl scale is left alone"),
    pytest.param(scaling(min=1, max=2), live(0, HPA), None, id="an HPA is left alone"),
    pytest.param(None, live(3, AUTOSCALER), None, id="our own autoscaler is another manager"),
    pytest.param(None, live(None), 1, id="a number that is missing is sent"),
]


@pytest.mark.parametrize(("stated", "deployment", "expected"), CASES)
def test_replicas(stated, deployment, expected):
    assert replicas.to_send(stated, deployment) == expected


def test_from_auto_to_external_and_back_under_load_changes_nothing():
    # The HPA took the field over; its entry stays when it is deleted.
    deployment = live(6, HPA)
    for mode in ("Auto", "External", "Auto"):
        assert replicas.to_send(scaling(mode=mode, min=0, max=2), deployment) is None


def test_the_count_in_the_status_is_nobodys_claim():
    assert not replicas.has_other_owner(live(1))
