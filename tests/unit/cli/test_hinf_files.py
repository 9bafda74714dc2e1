"""What `hinf` makes of files: several resources in one, lists, and what to do next."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest
import yaml
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli
from hybrid_router import table


def resource(name: str = "support", gpu: str = "a10g", more: str = "") -> str:
    return dedent(f"""
        apiVersion: hybridinference.dev/v1alpha1
        kind: HybridInference
        metadata: {{name: {name}{more}}}
        spec:
          models: [{{name: llama-3-8b, accelerator: {{type: {gpu}}}}}]
    """)


TWO = f"{resource()}---{resource('sales')}"


def hinf(text: str, *args: str) -> Result:
    return CliRunner().invoke(cli, [*args, "-f", "-"], input=text)


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("route", "hi"), id="route"),
        pytest.param(("render",), id="render"),
        pytest.param(("render", "table"), id="render table"),
    ],
)
def test_a_resource_that_the_operator_would_not_act_on_is_bad_input(args):
    done = hinf(resource(gpu="l5"), *args)
    assert done.exit_code == 2
    assert "Error: spec.models[0].accelerator.type: the catalogue has no l5" in done.output


@pytest.mark.parametrize("args", [("route", "hi"), ("render", "table")], ids=" ".join)
def test_of_several_resources_one_must_be_named(args):
    done = hinf(TWO, *args)
    assert done.exit_code == 2
    assert "holds several: support, sales; say which one with --name" in done.output
    assert hinf(TWO, *args, "--name", "sales").exit_code == 0
    assert "holds no HybridInference x; there is" in hinf(TWO, *args, "--name", "x").output


def test_the_table_of_the_named_resource_is_rendered():
    text = hinf(TWO, "render", "table", "--name", "sales").output
    assert table.decode(text.encode()).name == "default/sales"


def test_resources_of_one_name_are_told_apart_by_their_namespaces():
    both = f"{resource()}---{resource(more=', namespace: prod')}"
    assert "several: default/support, prod/support" in hinf(both, "route", "hi").output
    assert hinf(both, "route", "hi", "--name", "prod/support").exit_code == 0


def test_of_several_resources_a_problem_says_whose_it_is():
    done = hinf(f"{resource()}---{resource('sales').replace('models', 'modles')}", "plan")
    assert "Error: -: HybridInference sales: spec.modles: unknown field" in done.output
    assert "HybridInference support" not in done.output


@pytest.mark.parametrize("kind", ["List", "HybridInferenceList"])
def test_a_list_is_taken_apart(kind):
    items = [yaml.safe_load(resource(name)) for name in ("a", "b")]
    given = json.dumps({"apiVersion": "v1", "kind": kind, "items": items})
    said = json.loads(hinf(given, "plan", "-o", "json").output)
    assert [each["name"] for each in said] == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param(("plan", "min.yaml"), "hinf plan -f min.yaml", id="plan"),
        pytest.param(("render", "min.yaml"), "hinf render -f min.yaml", id="render"),
        pytest.param(("route", "min.yaml", "hi"), "hinf route -f min.yaml", id="route"),
    ],
)
def test_who_leaves_the_option_out_is_told(args, told):
    done = CliRunner().invoke(cli, args, prog_name="hinf")
    assert done.exit_code == 2
    assert f"a resource is read with -f: {told}" in " ".join(done.output.split())


@pytest.mark.parametrize("command", [("plan",), ("route", "hi")], ids=" ".join)
@pytest.mark.parametrize(
    ("more", "tail"), [("", ""), (", namespace: prod", " -n prod")], ids=["default", "namespace"]
)
def test_the_last_line_is_the_next_step(tmp_path, command, more, tail):
    path = tmp_path / "a.yaml"
    path.write_text(resource(more=more))
    text = CliRunner().invoke(cli, [*command, "-f", str(path)]).output
    step = f"next: kubectl apply -f {path} && hinf status support{tail}"
    assert text.splitlines()[-1] == step
    machine = CliRunner().invoke(cli, [*command, "-f", str(path), "-o", "json"]).output
    assert json.loads(machine)
    assert "next:" not in hinf(resource(), *command).output
