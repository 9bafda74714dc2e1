"""The resource on a real cluster: conditions that say what is missing, recovery, and clean ends."""

import time

import openai
import pytest

from tests.e2e import stack

CHILDREN = "deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets"


def test_kubectl_get_shows_ready_models_replicas_endpoint_and_age(starting):
    head, line = stack.kubectl("get", "hinf", starting).splitlines()
    assert head.split() == ["NAME", "READY", "MODELS", "REPLICAS", "ENDPOINT", "AGE"]
    assert line.split()[0] == starting


def test_a_missing_secret_is_a_condition_and_goes_when_it_appears(make):
    stack.kubectl("delete", "secret", "openai-key", "--ignore-not-found")
    reference = {"secretKeyRef": {"name": "openai-key", "key": "api-key"}}
    make("late", {"providers": [stack.provider("ok", apiKey=reference)], "router": {"replicas": 1}})

    def problem():
        conditions = stack.get("hinf", "late").get("status", {}).get("conditions", ())
        return [
            each
            for each in conditions
            if "openai-key" in each.get("message", "") and each["status"] == "False"
        ]

    found = stack.eventually("a condition that names the Secret", problem, 90)
    assert "secret" in found[0]["message"].lower()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai-key"}}
    stack.apply(secret | {"stringData": {"api-key": "sk-none"}})
    # The kubelet brings a Secret's files within a minute or so.
    stack.wait_for("late", "Ready", seconds=150)
    with stack.client("late") as asked:
        assert stack.chat(asked, "ok")[0] == "api"


def test_an_image_that_cannot_be_pulled_is_a_condition_while_the_api_answers(make):
    small = {"name": "engine", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    model = {
        "name": "absent",
        "source": {"pvc": {"claim": "tiny-model"}},
        "accelerator": {"type": "cpu"},
        "engine": {"image": "localhost/there-is-no-such-image:1"},
        "podTemplate": {"spec": {"containers": [small]}},
    }
    make(
        "image", {"models": [model], "providers": [stack.provider("ok")], "router": {"replicas": 1}}
    )

    def problem():
        found = stack.condition("image", "EnginesReady")
        return found if "there-is-no-such-image" in found.get("message", "") else None

    found = stack.eventually("a condition that names the image", problem, 90)
    assert found["status"] == "False"
    stack.wait_for("image", "Ready")
    with stack.client("image") as asked:
        source, reason, _ = stack.chat(asked, "auto", stack.SIMPLE)
    assert (source, reason) == ("api", "local-unavailable")


def test_a_model_with_min_zero_starts_no_pod(make):
    model = {
        "name": "asleep",
        "source": {"pvc": {"claim": "tiny-model"}},
        "accelerator": {"type": "cpu"},
        "scaling": {"min": 0},
    }
    make(
        "zero", {"models": [model], "providers": [stack.provider("ok")], "router": {"replicas": 1}}
    )
    assert stack.wait_for("zero", "EnginesReady")["reason"] == "ScaledToZero"
    stack.wait_for("zero", "Ready")
    assert stack.pods("zero", "engine") == []


@pytest.mark.parametrize(
    ("how", "retries"),
    [
        pytest.param(("--wait=false",), 0, id="While a router leaves, nobody notices"),
        pytest.param(
            ("--grace-period=0", "--force"), 2, id="When a router is killed, one more try is enough"
        ),
    ],
)
def test_requests_go_on(how, retries, make):
    make("pair", {"providers": [stack.provider("ok")], "router": {"replicas": 2}})
    stack.eventually("two routers", lambda: len(stack.pods("pair", "router")) == 2)
    stack.wait_for("pair", "RouterReady")
    failures: list[Exception] = []
    answered = 0
    first = stack.pods("pair", "router")[0]["metadata"]["name"]
    with stack.reach("pair-router") as url:
        stack.kubectl("delete", "pod", first, *how)
        end = time.monotonic() + 12
        while time.monotonic() < end:
            # A client of its own each time: new connections, as many clients make them.
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=retries) as asked:
                try:
                    stack.chat(asked, "ok")
                    answered += 1
                except openai.APIError as error:
                    failures.append(error)
    assert failures == []
    assert answered > 10


def test_deleting_the_resource_leaves_nothing(make):
    make("gone", {"providers": [stack.provider("ok")]})
    stack.wait_for("gone", "Ready")
    selector = ("--selector", "app.kubernetes.io/instance=gone")
    assert len(stack.get(CHILDREN, *selector)["items"]) >= 7
    stack.kubectl("delete", "hinf", "gone")
    stack.eventually(
        "nothing left",
        lambda: not stack.get(f"{CHILDREN},pods,endpointslices", *selector)["items"],
        90,
    )


def test_a_resource_that_makes_no_sense_is_refused_with_what_to_do():
    with pytest.raises(AssertionError, match="needs at least one entry in models or providers"):
        stack.apply(stack.resource("empty", {}))
