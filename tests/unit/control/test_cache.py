from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.control.cache import Children, Family, Resources, family_of
from hybrid_operator.control.ownership import is_ours
from hybrid_operator.core.state import Owner, Ref
from hybrid_operator.kube.kinds import CHILDREN, DEPLOYMENT, POD, Key, Kind

SERVICE = CHILDREN["Service"]
FAMILY = Family("ns", "support")
KEY = Key("ns", "support")


def child(name: str = "x", version: int = 1, **change: Any) -> dict[str, Any]:
    owner = {
        "apiVersion": "hybridinference.dev/v1alpha1",
        "kind": "HybridInference",
        "name": "support",
        "uid": "owner",
        "controller": True,
    }
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {
            "app.kubernetes.io/managed-by": "hybridinference",
            "app.kubernetes.io/instance": "support",
        },
        "ownerReferences": [owner],
    }
    spec = change.pop("spec", {"port": 1})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata | change, "spec": spec}


def resource(version: int = 1, **change: Any) -> dict[str, Any]:
    status, spec = change.pop("status", {}), change.pop("spec", {"models": []})
    metadata = {
        "name": "support",
        "namespace": "ns",
        "uid": "owner",
        "generation": 1,
        "resourceVersion": str(version),
        "annotations": {},
        "managedFields": [{"manager": "kubectl"}],
    }
    return {"metadata": metadata | change, "spec": spec, "status": status}


STATUSES = [
    pytest.param(SERVICE, {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}, id="a Service"),
    pytest.param(DEPLOYMENT, {"replicas": 2, "collisionCount": 0}, id="a Deployment"),
    pytest.param(
        POD,
        {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "message": "no"}],
            "containerStatuses": [
                {"name": "x", "state": {"waiting": {"reason": "Crash"}, "running": {}}}
            ],
        },
        id="a Pod",
    ),
]


class TestChildren:
    def setup_method(self):
        self.changed: list[Family] = []
        self.cache = Children(self.changed.append)

    def test_a_child_is_found_by_owner_and_by_name(self):
        self.cache.upsert(SERVICE, child())
        assert list(self.cache.owned(FAMILY, "owner")) == [Ref("Service", "x")]
        assert self.cache.owned(FAMILY, "another") == {}
        found = self.cache.find("ns", Ref("Service", "x"))
        assert found is not None
        assert found["spec"] == {"port": 1}
        assert self.cache.find("ns", Ref("Deployment", "x")) is None
        assert self.changed == [FAMILY]

    def test_the_same_thing_again_changes_nothing(self):
        self.cache.upsert(SERVICE, child())
        self.cache.upsert(SERVICE, child(version=2))
        assert self.changed == [FAMILY]

    def test_an_older_word_does_not_undo_a_newer_one(self):
        self.cache.upsert(SERVICE, child(version=5, spec={"port": 5}))
        self.cache.upsert(SERVICE, child(version=4, spec={"port": 4}))
        found = self.cache.find("ns", Ref("Service", "x"))
        assert found is not None
        assert found["spec"] == {"port": 5}

    def test_a_deletion_that_is_older_than_what_took_its_place_is_ignored(self):
        self.cache.upsert(SERVICE, child(version=9, uid="second"))
        self.cache.remove(SERVICE, child(version=8))
        assert self.cache.find("ns", Ref("Service", "x")) is not None

    def test_a_list_drops_what_is_gone_but_not_what_was_written_since(self):
        self.cache.upsert(SERVICE, child("gone", 3))
        self.cache.upsert(SERVICE, child("kept", 4))
        self.cache.upsert(SERVICE, child("written-since", 12))
        self.cache.upsert(DEPLOYMENT, child("another-kind", 3) | {"kind": "Deployment"})
        self.cache.replace(SERVICE, None, [child("kept", 4)], "10")
        assert {ref.name for ref in self.cache.owned(FAMILY, "owner")} == {
            "kept",
            "written-since",
            "another-kind",
        }

    @pytest.mark.parametrize(("kind", "status"), STATUSES)
    def test_what_is_kept_of_a_listed_object_is_all_that_is_kept_of_it(
        self, kind: Kind, status: dict[str, Any]
    ):
        owns = {"manager": "me", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}}
        whole = child(managedFields=[owns, {"manager": "kubelet"}]) | {"kind": kind.name}
        whole["status"] = status
        kept = self.cache.keep(kind, whole)
        assert self.cache.keep(kind, kept) == kept != whole

    def test_a_list_of_one_namespace_says_nothing_of_another(self):
        self.cache.upsert(SERVICE, child("x", 3))
        self.cache.replace(SERVICE, "elsewhere", [], "10")
        assert self.cache.find("ns", Ref("Service", "x")) is not None

    def test_losing_a_label_concerns_the_family_that_lost_it(self):
        self.cache.upsert(SERVICE, child())
        self.changed.clear()
        self.cache.upsert(SERVICE, child(version=2, labels={}))
        assert FAMILY in self.changed
        assert self.cache.owned(FAMILY, "owner") == {}

    def test_what_we_deleted_is_gone_before_the_watch_says_so(self):
        self.cache.upsert(SERVICE, child())
        self.changed.clear()
        self.cache.discard("ns", Ref("Service", "x"), "another-uid")
        assert self.cache.find("ns", Ref("Service", "x")) is not None
        self.cache.discard("ns", Ref("Service", "x"), "uid-x")
        assert self.cache.find("ns", Ref("Service", "x")) is None
        assert self.changed == []

    def test_pods_are_no_children_but_family(self):
        self.cache.upsert(POD, child("p2"))
        self.cache.upsert(POD, child("p1"))
        assert [pod["metadata"]["name"] for pod in self.cache.pods(FAMILY)] == ["p1", "p2"]
        assert self.cache.owned(FAMILY, "owner") == {}


class TestResources:
    def setup_method(self):
        self.changed: list[Key] = []
        self.cache = Resources(self.changed.append)
        self.cache.accept(None, resource())
        self.changed.clear()

    @pytest.mark.parametrize(
        ("change", "matters"),
        [
            pytest.param({}, False, id="another version of the same"),
            pytest.param({"managedFields": []}, False, id="who owns which field"),
            pytest.param({"generation": 2, "spec": {"models": [1]}}, True, id="the spec"),
            pytest.param({"annotations": {"a": "b"}}, True, id="an annotation"),
            pytest.param({"labels": {"a": "b"}}, True, id="a label"),
            pytest.param({"deletionTimestamp": "now"}, True, id="a deletion that waits"),
            pytest.param({"status": {"conditions": []}}, True, id="a status that is not ours"),
        ],
    )
    def test_what_matters(self, change, matters):
        self.cache.accept("MODIFIED", resource(2, **change))
        assert bool(self.changed) is matters

    def test_our_own_status_write_matters_not_even_before_it_was_answered(self):
        self.cache.writing(KEY, {"conditions": [1]})
        self.cache.accept("MODIFIED", resource(2, status={"conditions": [1]}))
        assert self.changed == []

    def test_the_watch_coming_after_the_answer_changes_nothing(self):
        self.cache.accept("MODIFIED", resource(7, spec={"models": [7]}))
        self.changed.clear()
        self.cache.accept("MODIFIED", resource(6, spec={"models": [6]}))
        found = self.cache.get(KEY)
        assert found is not None
        assert found["spec"] == {"models": [7]}
        assert self.changed == []

    def test_a_deletion_forgets_and_wakes(self):
        self.cache.accept("DELETED", resource(3))
        assert self.cache.get(KEY) is None
        assert self.cache.of(family_of(KEY)) is None
        assert self.changed == [KEY]

    def test_a_late_deletion_spares_the_new_one_of_that_name(self):
        self.cache.accept("ADDED", resource(9, uid="second"))
        self.cache.accept("DELETED", resource(8))
        assert self.cache.get(KEY) is not None

    def test_a_family_leads_to_its_resource(self):
        assert self.cache.of(Family("ns", "support")) == KEY
        assert list(self.cache) == [KEY]


OWNER = Owner(name="support", namespace="ns", uid="owner", generation=1)
LABELS = child()["metadata"]["labels"]


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        pytest.param({}, True, id="it names the resource as its owner"),
        pytest.param({"labels": {}}, True, id="also when somebody took its labels"),
        pytest.param({"ownerReferences": []}, True, id="an orphan with our labels is taken up"),
        pytest.param({"ownerReferences": [], "labels": {}}, False, id="an object without either"),
        pytest.param(
            {"ownerReferences": [], "labels": LABELS | {"app.kubernetes.io/instance": "other"}},
            False,
            id="an orphan of another resource",
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "Deployment", "uid": "d", "controller": True}]},
            False,
            id="an object that somebody else controls",
        ),
        pytest.param(
            {"ownerReferences": [child()["metadata"]["ownerReferences"][0] | {"uid": "before"}]},
            False,
            id="an object of an earlier resource of that name, which is being collected",
        ),
    ],
)
def test_whose_an_object_is(change, ours):
    assert is_ours(child(**change), OWNER) is ours
