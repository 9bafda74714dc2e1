"""The chart: what it renders is valid, its values are checked, and it says what is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.chart import schemas
from tests.integration.chart.programs import CHART, ROOT, find, objects, refused, run, template

HINF = Path(sys.executable).parent / "hinf"

EVERYTHING = {
    "watchNamespaces": ["team-a", "team-b"],
    "operator": {
        "replicas": 3,
        "image": {"repository": "registry.example.com:5000/hinf/operator", "tag": "1.2.3"},
        "logging": {"level": "debug", "format": "plain"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"team": "platform"},
        "podLabels": {"team": "platform"},
    },
    "router": {
        "image": {"repository": "registry.example.com/router", "digest": f"sha256:{'0' * 64}"}
    },
    "engine": {
        "image": "registry.example.com/vllm:1",
        "images": {"cpu": "registry.example.com/cpu:1"},
    },
    "priorityClassName": "inference",
    "imagePullSecrets": ["registry"],
    "serviceAccount": {"name": "operator", "annotations": {"role": "arn"}},
    "fullnameOverride": "hinf",
}

VARIANTS = [
    pytest.param({}, id="The defaults render valid manifests"),
    pytest.param(EVERYTHING, id="Every value set renders valid manifests"),
    pytest.param({"crds": {"install": False}}, id="Without the CRD the rest is valid"),
    pytest.param({"rbac": {"create": False}}, id="Without roles the rest is valid"),
    pytest.param(
        {"serviceAccount": {"create": False, "name": "mine"}},
        id="With a ServiceAccount of one's own the rest is valid",
    ),
]


@pytest.fixture(scope="session")
def location(tmp_path_factory):
    crd = find(template(), "CustomResourceDefinition", "hybridinferences.hybridinference.dev")
    return schemas.write(tmp_path_factory.mktemp("schemas"), crd)


def conform(location, text):
    return run("kubeconform", "-strict", "-summary", "-schema-location", location, stdin=text)


def test_helm_lint_finds_nothing():
    said = run("helm", "lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in said
    assert "WARNING" not in said


@pytest.mark.parametrize("values", VARIANTS)
def test_what_the_chart_renders_is_valid(values, location, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    text = template("--values", str(file))
    assert "Invalid: 0, Errors: 0, Skipped: 0" in conform(location, text)


def test_kubeconform_would_see_a_field_that_is_not_there(location):
    text = template().replace("automountServiceAccountToken", "x").replace("replicas:", "replica:")
    assert "replica" in refused("kubeconform", "-strict", "-schema-location", location, stdin=text)


@pytest.mark.parametrize("name", ["minimal", "full", "hybridinference", "demo-cpu"])
def test_every_example_is_valid(name, location):
    text = (ROOT / "examples" / f"{name}.yaml").read_text()
    assert "Valid: 1, Invalid: 0, Errors: 0, Skipped: 0" in conform(location, text)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        pytest.param(
            "operator.repicas=2", "'repicas' not allowed", id="A misspelt value is refused by name"
        ),
        pytest.param(
            "operator.replicas=many", "want integer", id="Replicas that are no number are refused"
        ),
        pytest.param(
            "operator.logging.level=loud",
            "must be one of 'debug'",
            id="An unknown log level is refused",
        ),
        pytest.param(
            "router.image.repository=hinf:1.0",
            "does not match pattern",
            id="A tag in the repository is refused",
        ),
        pytest.param(
            "router.image.digest=abc",
            "does not match pattern",
            id="A digest that is none is refused",
        ),
        pytest.param(
            "watchNamespaces={Team_A}",
            "does not match pattern",
            id="A namespace that cannot exist is refused",
        ),
        pytest.param(
            "serviceAccount.create=false",
            "name the ServiceAccount",
            id="No ServiceAccount at all is refused",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(setting, message):
    said = refused("helm", "template", "x", str(CHART), "--set", setting)
    assert message in said
    assert setting.split("=")[0].split(".")[0] in said


def test_the_readme_lists_every_value_and_no_other():
    def paths(values, prefix=""):
        for key, value in values.items():
            path = f"{prefix}{key}"
            inner = isinstance(value, dict) and value and key != "resources"
            yield from paths(value, f"{path}.") if inner else (path,)

    listed = re.findall(r"^\| `([^`]+)`", (CHART / "README.md").read_text(), re.MULTILINE)
    assert listed == list(paths(yaml.safe_load((CHART / "values.yaml").read_text())))


def test_the_schema_is_strict_wherever_the_chart_knows_the_fields():
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = [schema, *schema["definitions"].values()]
    for properties in (schema["properties"], schema["properties"]["operator"]["properties"]):
        known += properties.values()
    assert all(each["additionalProperties"] is False for each in known if "properties" in each)


def test_the_notes_end_with_the_one_next_step():
    command = ("install", "x", str(CHART), "--dry-run=client", "--namespace", "system")
    said = run("helm", *command).split("NOTES:")[1]
    assert "kubectl apply -f -" in said
    assert said.strip().splitlines()[-1].strip() == "kubectl get hinf support --watch"


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        pytest.param({}, ["operator", "router"], id="The defaults, which no node can pull"),
        pytest.param({"operator": "registry.example.com/a"}, ["router"], id="One of two is set"),
        pytest.param({"operator": "a.example/b", "router": "a.example/c"}, [], id="Both are set"),
    ],
)
def test_the_notes_warn_of_images_that_no_node_can_pull(given, warned):
    settings = [f"--set={part}.image.repository={image}" for part, image in given.items()]
    said = run("helm", "install", "x", str(CHART), "--dry-run=client", *settings)
    found = re.findall(r"^WARNING: (\w+)\.image\.repository is", said, re.MULTILINE)
    assert found == warned


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        pytest.param([], {"any": True}, id="every namespace"),
        pytest.param(
            ["--set=watchNamespaces={team-a}"], {"matchNames": ["team-a"]}, id="those watched"
        ),
    ],
)
def test_pod_monitors_find_all_that_has_metrics_by_ports_and_labels_of_the_pods(settings, where):
    assert "PodMonitor" not in {each["kind"] for each in objects(template())}
    text = template("--set=podMonitor.enabled=true,podMonitor.labels.release=prom", *settings)
    own = find(text, "PodMonitor", "hybridinference-operator")
    pod = find(text, "Deployment", "hybridinference-operator")["spec"]["template"]
    assert own["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert scraped(own) <= {p["name"] for p in pod["spec"]["containers"][0]["ports"]}
    serving = find(text, "PodMonitor", "hybridinference-serving")
    assert serving["spec"]["namespaceSelector"] == where
    assert own["metadata"]["labels"]["release"] == serving["metadata"]["labels"]["release"]
    made = hinf_render("minimal")
    assert len(made) == 2
    for each in made:
        template_ = each["spec"]["template"]
        wanted = serving["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= template_["metadata"]["labels"].items()
        assert scraped(serving) == {p["name"] for p in template_["spec"]["containers"][0]["ports"]}


def scraped(monitor):
    return {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]}


def hinf_render(example):
    text = run(str(HINF), "render", "-f", str(ROOT / "examples" / f"{example}.yaml"))
    return [each for each in objects(text) if each["kind"] == "Deployment"]


def test_the_application_for_argo_cd_states_images_that_can_be_pulled(tmp_path):
    text = (ROOT / "docs" / "install.md").read_text()
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "argoproj" in b)
    application = next(yaml.safe_load_all(block))
    helm = application["spec"]["source"]["helm"]
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(helm["valuesObject"]))
    rendered = template("--values", str(values), release=helm["releaseName"])
    assert "registry.example.com/hinf-operator:0.1.0" in rendered
    assert "registry.example.com/hinf-router:0.1.0" in rendered
    assert "localhost/" not in rendered


def test_uninstalling_keeps_the_resource_definition():
    crd = find(template(), "CustomResourceDefinition", "hybridinferences.hybridinference.dev")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_chart_renders_without_a_cluster():
    environment = {"PATH": run("printenv", "PATH").strip(), "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(
        ("helm", "template", "x", str(CHART)), check=True, capture_output=True, env=environment
    )
    assert done.stdout


def test_a_second_replica_brings_a_disruption_budget():
    assert "PodDisruptionBudget" not in {each["kind"] for each in objects(template())}
    two = template("--set", "operator.replicas=2")
    budget = find(two, "PodDisruptionBudget", "hybridinference-operator")
    assert budget["spec"]["maxUnavailable"] == 1
