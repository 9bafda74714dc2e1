"""Reading files as people write them, and specs as clusters store them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybrid_operator.api.read import ReadError, SpecError, parse_stored, read_file
from hybrid_operator.api.validate import problems
from tests.support import admission

MINIMAL = (admission.GOLDEN / "good" / "minimal.yaml").read_text(encoding="utf-8")


def _complaints(text: str) -> list[str]:
    with pytest.raises(ReadError) as error:
        read_file(text)
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.path.stem) for case in admission.bad()]
)
def test_a_bad_file_is_refused_with_every_problem_and_its_place(case: admission.Case):
    assert case.hinf
    assert sorted(_complaints(case.text)) == sorted(case.hinf)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in admission.good()])
def test_a_good_file_is_read_and_has_no_problems(path: Any):
    found = read_file(path.read_text(encoding="utf-8"))

    assert found
    assert [problems(spec) for _, spec in found] == [[] for _ in found]


def test_the_metadata_comes_with_the_spec():
    [(metadata, spec)] = read_file(MINIMAL)

    assert metadata == {"name": "support"}
    assert spec.models[0].accelerator.type == "a10g"
    assert spec.providers[0].api_key is not None
    assert spec.providers[0].api_key.secret_key_ref.key == "api-key"


def test_all_resources_of_a_file_are_read_and_other_kinds_passed_over():
    other = "apiVersion: v1\nkind: Secret\nmetadata: {name: openai}\n"
    text = "\n---\n".join([MINIMAL, other, MINIMAL.replace("support", "sales")])

    assert [metadata["name"] for metadata, _ in read_file(text)] == ["support", "sales"]


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        pytest.param("", ["holds no HybridInference"], id="An empty file"),
        pytest.param(
            "kind: Secret\n---\n- 1\n",
            ["holds no HybridInference, but Secret, no object"],
            id="A file with something else in it",
        ),
        pytest.param(
            "spec:\n  models: [",
            ["line 2, column 12: expected the node content, but found '<stream end>'"],
            id="A bracket that is not closed",
        ),
        pytest.param(
            "spec:\n\tmodels: []",
            ["line 2, column 1: found character '\\t' that cannot start any token"],
            id="A tab",
        ),
        pytest.param(
            "spec:\n  models: []\n  models: []",
            ["line 3, column 3: models stands twice in one mapping"],
            id="A key twice, of which kubectl would take one",
        ),
        pytest.param(
            "\0",
            ["is not YAML: unacceptable character #x0000: special characters are not allowed"],
            id="A binary file",
        ),
        pytest.param(
            MINIMAL.replace("v1alpha1", "v2"),
            ["apiVersion: must be hybridinference.dev/v1alpha1"],
            id="A version that does not exist yet",
        ),
        pytest.param(
            MINIMAL.replace("{name: support}", "{}"),
            ["metadata.name: is required"],
            id="A resource without a name",
        ),
        pytest.param(
            MINIMAL.replace("spec:", "spec: &x\n  router: {podTemplate: *x}"),
            ["spec: refers to itself, or is nested too deeply"],
            id="YAML that holds itself",
        ),
    ],
)
def test_what_is_no_resource_is_told_with_its_place(text: str, complaints: list[str]):
    assert _complaints(text) == complaints


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("spec: {models: [1]}", id="a number among models"),
        pytest.param("spec: [[]]", id="a list for a spec"),
        pytest.param("spec: {models: {a: 1}}", id="a mapping for a list"),
        pytest.param("metadata: []\nspec: 3", id="a list for metadata"),
        pytest.param("1: 2\ntrue: x", id="keys that are no strings"),
        pytest.param("spec: {router: {replicas: .nan}}", id="not a number"),
        pytest.param("spec: {router: {replicas: 99999999999999999999}}", id="a huge number"),
        pytest.param(
            "spec: {router: {podTemplate: {metadata: 1}}}", id="a pod template of numbers"
        ),
        pytest.param("spec: {models: 2026-01-01}", id="a date"),
        pytest.param("spec: {router: {podTemplate: {spec: {a: .inf}}}}", id="no number of JSON"),
        pytest.param("spec: {router: {podTemplate: {spec: !!binary aGk=}}}", id="bytes"),
        pytest.param("spec: {router: {podTemplate: {spec: {a: !!set {b}}}}}", id="a set"),
        pytest.param('spec: {models: [{name: "\\ud800"}]}', id="half a character"),
    ],
)
def test_any_odd_document_gets_sentences_and_no_crash(text: str):
    head = "apiVersion: hybridinference.dev/v1alpha1\nkind: HybridInference\n"
    assert all(
        line.endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789?"))
        for line in _complaints(head + text)
    )


def test_fields_left_empty_count_as_left_out_as_in_the_api_server():
    [(_, spec)] = read_file(MINIMAL + "  routing:\n  router: {podTemplate: }\n")

    assert spec.routing.threshold is None
    assert spec.router.pod_template is None


def test_a_pod_template_is_kept_as_it_was_written():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": None, "y": [1.5, {"z": True}]}}
    document = yaml.safe_load(MINIMAL)
    document["spec"]["router"] = {"podTemplate": template}

    [(_, spec)] = read_file(yaml.safe_dump(document))

    assert spec.router.pod_template == template


@pytest.mark.parametrize(
    ("key", "read"),
    [("true", "true"), ("null", "null"), ("1", "1"), ("1.5", "1.5"), ("on", "true")],
)
def test_a_key_that_yaml_takes_for_something_else_is_text_as_in_kubectl(key: str, read: str):
    labels = f"  router: {{podTemplate: {{spec: {{nodeSelector: {{{key}: x}}}}}}}}\n"
    [(_, spec)] = read_file(MINIMAL + labels)

    assert spec.router.pod_template == {"spec": {"nodeSelector": {read: "x"}}}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(".inf", id="infinity"),
        pytest.param("!!binary aGk=", id="bytes"),
        pytest.param('"\\ud800"', id="half a character"),
    ],
)
def test_what_json_has_not_is_refused_in_a_pod_template_too(odd: str):
    text = MINIMAL + f"  router: {{podTemplate: {{spec: {{a: [{odd}]}}}}}}\n"

    sentence = "must be text, a number, true, false or null, as JSON has them"
    assert _complaints(text) == [f"spec.router.podTemplate.spec.a[0]: {sentence}"]


def test_a_field_has_one_spelling():
    text = MINIMAL.replace("apiKey", "api_key")

    assert _complaints(text) == ["spec.providers[0].api_key: unknown field; did you mean apiKey?"]


def test_a_stored_spec_may_hold_fields_of_a_newer_release():
    stored = yaml.safe_load(MINIMAL)["spec"]
    stored["models"][0]["colour"] = "blue"

    assert parse_stored(stored).models[0].name == "llama-3-8b"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        pytest.param(None, "spec: must be a mapping of fields to values", id="nothing"),
        pytest.param(
            {"models": [{"name": "A"}], "routing": {"threshold": "2"}},
            "spec.models[0].name: must be a DNS label: lower-case letters, digits and '-', at most "
            "63 of them, beginning and ending with a letter or digit; "
            "spec.models[0].accelerator: is required; spec.routing.threshold: must be a decimal "
            'from 0 to 1, written as a string such as "0.85"',
            id="a spec from before the rules",
        ),
    ],
)
def test_a_stored_spec_that_cannot_be_read_says_why(stored: object, message: str):
    with pytest.raises(SpecError) as error:
        parse_stored(stored)

    assert str(error.value) == message


SECRET = "sk-live-0123456789"
_FIELDS = st.sampled_from(
    [
        "models",
        "providers",
        "routing",
        "router",
        "name",
        "apiKey",
        "secretKeyRef",
        "baseURL",
        "key",
        "threshold",
        "podTemplate",
        "metadata",
        "spec",
        "labels",
        "servedNames",
        "args",
        "engine",
    ]
)
_JUNK = st.recursive(
    st.sampled_from([SECRET, None, True, 0, 1.5, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(spec=st.dictionaries(_FIELDS, _JUNK, max_size=5))
def test_no_value_is_ever_repeated_for_it_could_be_a_secret(spec: dict[str, Any]):
    document = {**yaml.safe_load(MINIMAL), "spec": spec}
    said = []
    for read in (lambda: read_file(yaml.safe_dump(document)), lambda: parse_stored(spec)):
        try:
            read()
        except SpecError as error:
            said.append(str(error))

    assert SECRET not in " ".join(said)


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str):
    with pytest.raises(ReadError):
        read_file(text)
