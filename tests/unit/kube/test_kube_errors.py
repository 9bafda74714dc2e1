from __future__ import annotations

import pytest

from hybrid_operator.kube import errors
from hybrid_operator.kube.client import lines
from hybrid_operator.kube.kinds import CHILDREN, RESOURCE, Key, version_of

WHAT = "patch deployments support-router in namespace ml"
RBAC = (
    'deployments.apps "support-router" is forbidden: User "system:serviceaccount:a:b" cannot '
    'patch resource "deployments" in API group "apps" in the namespace "ml"'
)


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        pytest.param(404, {"message": "x not found"}, errors.NotFound, "x not found", id="404"),
        pytest.param(
            409, {"reason": "Conflict", "message": "changed"}, errors.Conflict, "changed", id="409"
        ),
        pytest.param(
            409,
            {"reason": "AlreadyExists", "message": "it exists"},
            errors.AlreadyExists,
            "it exists",
            id="409 for a name that is taken",
        ),
        pytest.param(
            403,
            {"reason": "Forbidden", "message": RBAC},
            errors.Forbidden,
            f"the operator has no right to {WHAT}",
            id="403 for a right that is missing",
        ),
        pytest.param(
            403,
            {"message": 'pods "x" is forbidden: exceeded quota: gpus'},
            errors.Forbidden,
            "exceeded quota: gpus",
            id="403 for a quota",
        ),
        pytest.param(
            403,
            {
                "message": "it is being terminated, unable to create",
                "details": {"causes": [{"reason": "NamespaceTerminating"}]},
            },
            errors.NamespaceEnding,
            "the namespace is being deleted",
            id="403 for a namespace that ends",
        ),
        pytest.param(
            422,
            {"message": "spec.replicas: Invalid value"},
            errors.Invalid,
            "spec.replicas: Invalid value",
            id="422",
        ),
        pytest.param(400, {"message": "bad patch"}, errors.Invalid, "bad patch", id="400"),
        pytest.param(410, {"message": "too old"}, errors.Gone, "too old", id="410"),
        pytest.param(429, {"message": "slow down"}, errors.Unavailable, "slow down", id="429"),
        pytest.param(500, {"message": "etcd"}, errors.Unavailable, "etcd", id="500"),
        pytest.param(
            503, {}, errors.Unavailable, "503 Service Unavailable", id="503 without a body"
        ),
        pytest.param(
            401, {"message": "Unauthorized"}, errors.Unavailable, "our credentials", id="401"
        ),
        pytest.param(599, {}, errors.Unavailable, "answered 599", id="a status nobody knows"),
    ],
)
def test_answers_become_errors_with_a_sentence(code, status, kind, said):
    error = errors.from_status(code, status, WHAT)
    assert type(error) is kind
    assert said in str(error)
    assert WHAT in str(error)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b'{"a":1}\n{"b":2}\n'], [b'{"a":1}', b'{"b":2}'], id="two in one chunk"),
        pytest.param([b'{"a', b'":1', b"}\n"], [b'{"a":1}'], id="one in three chunks"),
        pytest.param(
            ['{"a":"x\u0085y\u2028z"}\n'.encode()],
            ['{"a":"x\u0085y\u2028z"}'.encode()],
            id="other characters that end a line elsewhere do not here",
        ),
        pytest.param([b'{"a":1}\n\n', b'{"cut'], [b'{"a":1}'], id="what was cut off is dropped"),
    ],
)
async def test_a_watch_is_split_at_line_feeds_only(chunks, expected):
    async def stream():
        for chunk in chunks:
            yield chunk

    assert [line async for line in lines(stream())] == expected


def test_paths():
    assert RESOURCE.path(None) == "/apis/hybridinference.dev/v1alpha1/hybridinferences"
    assert CHILDREN["Service"].path("ml", "x") == "/api/v1/namespaces/ml/services/x"
    assert CHILDREN["Deployment"].path("ml", "x", "scale") == (
        "/apis/apps/v1/namespaces/ml/deployments/x/scale"
    )


def test_resource_versions_are_compared_as_numbers():
    assert version_of({"metadata": {"resourceVersion": "10"}}) > version_of(
        {"metadata": {"resourceVersion": "9"}}
    )
    assert version_of({"metadata": {}}) == 0
    assert str(Key("ml", "support")) == "ml/support"
