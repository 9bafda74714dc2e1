"""A newer operator restarts no engine; it says what it would change, and waits to be told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.version import Version
from hybrid_operator.core.objects import meta
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Observed, Plan, Ref
from tests.support.golden import ROOT
from tests.support.resources import (
    MINIMAL,
    NOW,
    SETTINGS,
    applied,
    example,
    observed,
    owner,
    running,
    spec,
)

NEWER = replace(
    CURRENT, revision=CURRENT.revision + 1, version=Version(0, 33), grace=90, startup=3600
)
"""The defaults of an operator that does not exist yet."""
TAKE = owner(annotations={"hybridinference.dev/update": "true"})
TWO = """
models:
  - {name: a, catalog: llama-3-8b, accelerator: {type: a10g}}
  - {name: b, catalog: llama-3-8b, accelerator: {type: a10g}}
"""


def settled(before: Observed) -> Observed:
    return running(applied(before, plan(before, NOW)))


def names(after: Plan) -> list[str]:
    return [f"{obj['kind']} {obj['metadata']['name']}" for obj in after.apply]


def update(after: Plan) -> tuple[str, str]:
    (found,) = (c for c in after.status["conditions"] if c["type"] == "UpdateAvailable")
    return found["status"], found["message"]


def engine(seen: Observed, model: str = "llama-3-8b") -> Any:
    (found,) = (
        obj
        for obj in seen.children.values()
        if obj["kind"] == "Deployment"
        and obj["metadata"]["labels"].get("hybridinference.dev/model") == model
    )
    return found


EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_newer_defaults_change_no_object_of_an_example_that_runs(name):
    before = settled(example(name))
    assert names(plan(before, NOW, NEWER)) == []


def test_newer_defaults_are_offered_with_what_they_change():
    status, message = update(plan(settled(observed()), NOW, NEWER))
    assert status == "True"
    assert message.startswith(
        "model llama-3-8b: vLLM 0.32.0 to 0.33.0, "
        "image vllm/vllm-openai:v0.32.0 to vllm/vllm-openai:v0.33.0; "
    )
    assert 'hybridinference.dev/update="true"' in message


def test_another_engine_image_in_the_chart_is_offered_and_not_taken():
    before = settled(observed())
    moved = replace(before, settings=replace(SETTINGS, engine_image="mirror/vllm:v0.32.0"))
    after = plan(moved, NOW)
    assert names(after) == []
    assert "to mirror/vllm:v0.32.0" in update(after)[1]


def test_other_code_for_the_same_inputs_is_offered_and_not_taken(monkeypatch):
    before = settled(observed())
    monkeypatch.setattr("hybrid_operator.core.objects.engine_pod.CACHE", "/elsewhere")
    after = plan(before, NOW)
    assert names(after) == []
    assert update(after)[0] == "True"


def test_with_other_code_drift_is_still_corrected_to_what_was_rendered_then(monkeypatch):
    before = settled(observed())
    ref = Ref("Deployment", engine(before)["metadata"]["name"])
    good = before.children[ref]["spec"]["template"]
    spec_ = {**before.children[ref]["spec"], "template": {"spec": {"containers": []}}}
    drifted = {**before.children, ref: {**before.children[ref], "spec": spec_}}
    monkeypatch.setattr("hybrid_operator.core.objects.engine_pod.CACHE", "/elsewhere")
    after = plan(replace(before, children=drifted), NOW)
    assert names(after) == [f"Deployment {ref.name}"]
    assert applied(before, after).children[ref]["spec"]["template"] == good


def test_the_next_change_of_the_model_brings_the_newer_defaults_along():
    before = settled(observed())
    changed = spec(MINIMAL.replace("{type: a10g}", "{type: a10g}\n    servedNames: [llama]"))
    after = plan(replace(before, spec=changed), NOW, NEWER)
    container = engine(applied(before, after))["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "vllm/vllm-openai:v0.33.0"
    assert update(after)[0] == "False"


@pytest.mark.parametrize("field", ["scaling: {max: 3}", 'cost: {gpuHourUSD: "1.00"}'])
def test_a_change_that_shapes_no_pod_brings_nothing_along(field):
    before = settled(observed())
    changed = spec(MINIMAL.replace("{type: a10g}", f"{{type: a10g}}\n    {field}"))
    after = plan(replace(before, spec=changed), NOW, NEWER)
    assert names(after) == []


def test_the_annotation_takes_the_newer_defaults():
    before = settled(observed(owner=TAKE))
    after = plan(before, NOW, NEWER)
    assert names(after) == [f"Deployment {engine(before)['metadata']['name']}"]
    assert update(after) == ("False", "")
    assert names(plan(running(applied(before, after)), NOW, NEWER)) == []


def test_with_the_annotation_one_model_rolls_at_a_time():
    before = settled(observed(TWO, owner=TAKE))
    first = plan(before, NOW, NEWER)
    (name,) = names(first)
    assert "support-a-" in name

    rolling = running(applied(before, first), ready={name.split()[1]: 0})
    assert names(plan(rolling, NOW, NEWER)) == []
    assert "model b" in update(plan(rolling, NOW, NEWER))[1]

    (second,) = names(plan(running(rolling), NOW, NEWER))
    assert "support-b-" in second


def test_an_engine_that_is_broken_may_be_mended_by_an_update():
    before = settled(observed(TWO, owner=TAKE))
    broken = running(before, ready={engine(before, "a")["metadata"]["name"]: 0})
    assert len(names(plan(broken, NOW, NEWER))) == 1


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({meta.RENDER: "", meta.TEMPLATE: ""}, id="gone"),
        pytest.param({meta.TEMPLATE: '{"spec": {"hostNetwork": true}}'}, id="forged"),
        pytest.param({meta.RENDER: "[]"}, id="of another form"),
    ],
)
def test_a_record_that_is_not_to_be_trusted_is_not_followed(annotations):
    before = settled(observed())
    old = engine(before)
    ref = Ref("Deployment", old["metadata"]["name"])
    metadata = {
        **old["metadata"],
        "annotations": {**old["metadata"]["annotations"], **annotations},
    }
    broken = replace(before, children={**before.children, ref: {**old, "metadata": metadata}})
    after = plan(broken, NOW)
    repaired = applied(broken, after).children[ref]
    assert repaired["spec"]["template"] == old["spec"]["template"]
    assert repaired["metadata"]["annotations"] == old["metadata"]["annotations"]


def test_no_label_or_name_of_an_engine_tells_the_release():
    before = settled(observed())
    later = plan(observed(), NOW, NEWER)
    new = next(
        obj for obj in later.apply if obj["metadata"]["name"] == engine(before)["metadata"]["name"]
    )
    assert engine(before)["metadata"]["labels"] == new["metadata"]["labels"]
