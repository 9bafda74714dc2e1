"""A plan makes, corrects, prunes and otherwise leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hybrid_operator.api import validate
from hybrid_operator.api.read import parse
from hybrid_operator.api.status import HybridInferenceStatus
from hybrid_operator.core import naming, replicas
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Observed, Plan, Ref
from hybrid_router.table import decode
from tests.support.resources import (
    MINIMAL,
    NOW,
    SETTINGS,
    applied,
    observed,
    owner,
    running,
    spec,
)
from tests.support.specs import specs

ENGINE = Ref("Deployment", "support-llama-3-8b-6b391556")
ROUTER = Ref("Deployment", "support-router")


def refs(plan: Plan) -> set[Ref]:
    return {Ref(obj["kind"], obj["metadata"]["name"]) for obj in plan.apply}


def settled(before: Observed) -> Observed:
    return running(applied(before, plan(before, NOW)))


def edited(before: Observed, ref: Ref, change: dict[str, Any]) -> Observed:
    """Return the cluster after somebody changed an object."""
    return replace(before, children={**before.children, ref: _merge(before.children[ref], change)})


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merge(old.get(key), value) for key, value in new.items()}
    return new


def conditions(plan: Plan) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in plan.status["conditions"]}


def message(plan: Plan, kind: str) -> str:
    found = (each["message"] for each in plan.status["conditions"] if each["type"] == kind)
    return str(next(found))


def test_everything_is_made_in_an_order_that_starts_pods_last():
    kinds = [(obj["kind"], obj["metadata"]["name"]) for obj in plan(observed(), NOW).apply]
    assert kinds == [
        ("ServiceAccount", "support-router"),
        ("Role", "support-router"),
        ("RoleBinding", "support-router"),
        ("ConfigMap", "support-router"),
        ("Service", "support-router"),
        ("PodDisruptionBudget", "support-router"),
        ("Service", ENGINE.name),
        ("Deployment", ENGINE.name),
        ("Deployment", "support-router"),
    ]


def test_every_child_is_collected_with_its_owner():
    for obj in plan(observed(), NOW).apply:
        (reference,) = obj["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == ("uid-of-support", True)
        assert obj["metadata"]["namespace"] == "ml"


def test_where_everything_is_as_it_should_be_nothing_is_written():
    after = plan(settled(observed()), NOW)
    assert (after.apply, after.delete) == ((), ())


def test_that_somebody_else_owns_the_replicas_now_leaves_nothing_to_write():
    owned = {"manager": naming.AUTOSCALER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    before = settled(observed())
    taken = edited(before, ENGINE, {"metadata": {"managedFields": [owned]}})
    assert replicas.to_send(None, taken.children[ENGINE]) is None
    assert plan(taken, NOW).apply == ()


def test_a_status_that_stands_stays_as_it_is():
    before = settled(observed())
    first = plan(before, NOW)
    later = plan(replace(before, status=first.status), NOW.replace(hour=20))
    assert later.status == first.status
    assert later.events == ()


@pytest.mark.parametrize(
    "annotations",
    [{"hybridinference.dev/paused": "true"}, {"hybridinference.dev/paused": ""}],
    ids=["by true", "by any word"],
)
def test_a_paused_resource_is_left_alone(annotations):
    assert plan(observed(owner=owner(annotations=annotations)), NOW) == Plan()


def test_a_resource_whose_pause_is_false_is_not_paused():
    annotations = {"hybridinference.dev/paused": "false"}
    assert plan(observed(owner=owner(annotations=annotations)), NOW).apply


def test_a_resource_that_is_being_deleted_is_left_to_the_garbage_collector():
    before = settled(observed())
    assert plan(replace(before, owner=owner(deleting=True)), NOW) == Plan()


DRIFT = [
    pytest.param(ROUTER, {"spec": {"replicas": 5}}, id="the number of routers"),
    pytest.param(ENGINE, {"spec": {"progressDeadlineSeconds": 60}}, id="an engine's deadline"),
    pytest.param(
        ENGINE,
        {"spec": {"template": {"spec": {"containers": [{"name": "engine", "image": "x"}]}}}},
        id="an engine's image",
    ),
    pytest.param(
        Ref("ConfigMap", "support-router"), {"data": {"table.json": "{}"}}, id="the table"
    ),
    pytest.param(
        Ref("Service", "support-router"),
        {"spec": {"selector": {"app.kubernetes.io/component": "x"}}},
        id="a selector",
    ),
    pytest.param(
        ROUTER, {"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}, id="a label"
    ),
    pytest.param(
        ROUTER,
        {"metadata": {"annotations": {"hybridinference.dev/applied": "x"}}},
        id="what says that a field was stated once",
    ),
]


@pytest.mark.parametrize(("ref", "change"), DRIFT)
def test_drift_is_corrected_in(ref, change):
    before = settled(observed())
    good = before.children[ref]
    after = plan(edited(before, ref, change), NOW)
    assert refs(after) == {ref}
    repaired = applied(before, after).children[ref]
    assert repaired["spec" if ref.kind != "ConfigMap" else "data"] == good.get(
        "spec", good.get("data")
    )


def test_what_others_add_is_left_alone():
    before = settled(observed())
    change = {
        "metadata": {"labels": {"team": "nlp"}, "annotations": {"a": "b"}},
        "spec": {
            "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}
        },
    }
    assert plan(edited(before, ROUTER, change), NOW).apply == ()


def test_a_model_that_is_removed_is_pruned():
    before = settled(observed())
    smaller = spec("providers: [{name: openai, models: [{name: gpt-4o}]}]")
    after = plan(replace(before, spec=smaller), NOW)
    assert set(after.delete) == {ENGINE, Ref("Service", ENGINE.name)}
    assert refs(after) == {ROUTER, Ref("ConfigMap", "support-router")}
    assert "Deleted" in [event.reason for event in after.events]


def test_a_budget_for_disruptions_goes_with_the_second_router():
    before = settled(observed())
    after = plan(replace(before, spec=spec(MINIMAL + "router: {replicas: 1}")), NOW)
    assert after.delete == (Ref("PodDisruptionBudget", "support-router"),)


def test_what_is_being_deleted_is_neither_applied_nor_deleted_again():
    before = settled(observed())
    leaving = {"metadata": {"deletionTimestamp": "2026-11-23T12:00:00Z"}, "spec": {"replicas": 9}}
    assert plan(edited(before, ROUTER, leaving), NOW).apply == ()
    gone = spec("providers: [{name: openai, models: [{name: gpt-4o}]}]")
    after = plan(replace(edited(before, ENGINE, leaving), spec=gone), NOW)
    assert after.delete == (Ref("Service", ENGINE.name),)


def test_an_object_of_somebody_else_is_never_touched_and_named():
    before = replace(observed(), foreign=frozenset({ROUTER}))
    after = plan(before, NOW)
    assert ROUTER not in refs(after)
    assert conditions(after)["RouterReady"] == ("False", "NameConflict")
    assert "Deployment support-router is there already" in message(after, "RouterReady")


def test_a_spec_with_problems_changes_nothing_and_says_why():
    before = settled(observed())
    bad = spec(MINIMAL.replace("type: a10g", "type: a11g"))
    after = plan(replace(before, spec=bad), NOW)
    assert (after.apply, after.delete) == ((), ())
    assert conditions(after)["Valid"] == ("False", "InvalidSpec")
    assert message(after, "Valid") == (
        "spec.models[0].accelerator.type: the catalogue has no a11g; did you mean a10g or "
        "a10? Else say memory, which any other name needs, or see `hinf gpus`; "
        "nothing was changed; what ran before goes on"
    )
    assert conditions(after)["EnginesReady"] == ("True", "AllReady")


def test_a_spec_that_cannot_be_read_changes_nothing_and_says_why():
    before = replace(settled(observed()), spec=None, spec_error="models[0].name: is missing")
    after = plan(before, NOW)
    assert (after.apply, after.delete) == ((), ())
    assert "models[0].name: is missing" in message(after, "Valid")
    assert after.status["models"][0]["name"] == "llama-3-8b"


def test_a_pod_template_that_is_refused_names_its_path():
    bad = spec(
        MINIMAL.replace("{type: a10g}", "{type: a10g}\n    podTemplate: {spec: {hostIPC: true}}")
    )
    after = plan(observed(), NOW)
    assert after.apply
    after = plan(replace(observed(), spec=bad), NOW)
    assert after.apply == ()
    assert message(after, "Valid").startswith(
        "spec.models[0].podTemplate.spec.hostIPC: is not allowed"
    )


def test_a_change_of_the_table_restarts_no_router():
    before = settled(observed())
    changed = replace(before, spec=spec(MINIMAL + 'routing: {threshold: "0.5"}'))
    assert refs(plan(changed, NOW)) == {Ref("ConfigMap", "support-router")}


def test_two_resources_side_by_side_share_nothing():
    one = plan(observed(owner=owner("a")), NOW)
    other = plan(observed(owner=owner("a-b")), NOW)
    assert refs(one).isdisjoint(refs(other))


def test_no_secret_is_read_into_any_object():
    text = yaml.safe_dump_all([dict(obj) for obj in plan(observed(), NOW).apply])
    assert "secretName: openai" in text
    assert "/etc/hybridinference/secrets/openai/api-key" in text


VALID = st.fixed_dictionaries(
    {
        "quantization": st.sampled_from([None, "fp8", "awq", "none"]),
        "accelerator": st.sampled_from(
            [{"type": "a10g"}, {"type": "t4", "count": 2}, {"type": "cpu"}, {"type": "mi300x"}]
        ),
        "scaling": st.sampled_from([None, {"min": 0}, {"min": 2, "max": 3}, {"mode": "External"}]),
        "source": st.sampled_from(
            [
                None,
                {"pvc": {"claim": "a", "path": "b/c"}},
                {"image": {"reference": "weights:1"}},
                {
                    "huggingFace": {
                        "repo": "o/r",
                        "token": {"secretKeyRef": {"name": "hf", "key": "t"}},
                    }
                },
            ]
        ),
        "engine": st.sampled_from(
            [None, {"version": "0.15"}, {"kvOffload": {"size": "1Gi"}, "args": ["--seed=1"]}]
        ),
    }
)


@settings(deadline=None, max_examples=40)
@given(st.lists(VALID, max_size=3), st.integers(1, 3), st.booleans())
def test_carrying_out_a_plan_leaves_nothing_to_do(models, replicas, keys):
    document = {
        "models": [
            {"name": f"llama-3-8b-{i}", "catalog": "llama-3-8b"}
            | {key: value for key, value in model.items() if value is not None}
            for i, model in enumerate(models)
        ],
        "providers": [{"name": "openai", "models": [{"name": "gpt-4o"}]}],
        "router": {"replicas": replicas}
        | ({"clientKeys": {"secretRef": {"name": "keys"}}} if keys else {}),
    }
    first = observed(yaml.safe_dump(document))
    done = applied(first, plan(first, NOW))
    for state in (done, running(done)):
        again = plan(state, NOW)
        assert (again.apply, again.delete) == ((), ())


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(specs())
def test_no_spec_breaks_a_plan_and_every_table_is_one_that_routers_serve(found):
    before = replace(observed(), spec=found)
    after = plan(before, NOW)
    parse(HybridInferenceStatus, after.status, "status", strict=True)
    if validate.problems(found):
        assert after.apply == ()
    for obj in after.apply:
        if obj["kind"] == "ConfigMap":
            decode(obj["data"]["table.json"].encode())
        assert len(obj["metadata"]["name"]) <= 63
    assert plan(applied(before, after), NOW).apply == ()


def test_settings_reach_the_pods():
    chosen = replace(
        SETTINGS, router_pull_policy="Never", image_pull_secrets=("regcred",), priority_class="high"
    )
    deployments = [
        obj for obj in plan(observed(settings=chosen), NOW).apply if obj["kind"] == "Deployment"
    ]
    for obj in deployments:
        pod = obj["spec"]["template"]["spec"]
        assert pod["imagePullSecrets"] == [{"name": "regcred"}]
        assert pod["priorityClassName"] == "high"
    assert deployments[1]["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never"


def test_routers_send_spans_where_the_platform_says():
    chosen = replace(SETTINGS, otlp_endpoint="http://otel:4318", trace_ratio="0.1")
    router = next(
        obj
        for obj in plan(observed(settings=chosen), NOW).apply
        if obj["kind"] == "Deployment" and obj["metadata"]["name"].endswith("-router")
    )
    env = router["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {each["name"]: each["value"] for each in env if each["name"].startswith("OTEL_")} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }
