"""The documentation checker."""

import pytest

from tools import docs

MAKEFILE = "help: ## Manual\n\t@true\nCACHE := x\nbench-%: help\n\t@true\n"
HINF = """#!/bin/sh
case "$*" in
  "--help" | "plan --help") echo "usage: -f, --file FILE   -o, --output json" ;;
  *) echo "no such command" >&2; exit 2 ;;
esac
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "why.md").write_text("# Why it is so\n\n## `hinf plan`, and more\n")
    program = tmp_path / ".venv" / "bin" / "hinf"
    program.parent.mkdir(parents=True)
    program.write_text(HINF)
    program.chmod(0o755)
    return tmp_path


def problems(root, text):
    readme = root / "README.md"
    readme.write_text(text)
    return list(docs.findings(readme, text, root))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[why](docs/why.md)", id="a file that is there"),
        pytest.param("[why](/docs/why.md#why-it-is-so)", id="a heading that is there"),
        pytest.param("[plan](docs/why.md#hinf-plan-and-more)", id="a heading with punctuation"),
        pytest.param("[out](https://example.com/nowhere)", id="an address outside"),
        pytest.param("`[no](link.md)`", id="code is no link"),
        pytest.param("```\n[no](link.md)\n```", id="a block of code has no links"),
        pytest.param("# Here\n[here](#here)", id="a heading of the same file"),
    ],
)
def test_links_that_lead_somewhere_pass(root, text):
    assert problems(root, text) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("\n[x](no.md)", (2, "the link no.md leads to no file"), id="a dead link"),
        pytest.param(
            "[x](docs/why.md#not)",
            (1, "the link docs/why.md#not names a heading that is not there"),
            id="a dead heading",
        ),
        pytest.param(
            "[x](../)", (1, "the link ../ leads out of the repository"), id="a link to the outside"
        ),
    ],
)
def test_a_link_that_leads_nowhere_is_found(root, text, finding):
    assert problems(root, text) == [finding]


def console(*lines):
    return "\n".join(["```console", *lines, "```"])


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["$ make help bench-router", "output"], id="targets, one from a pattern"),
        pytest.param(["$ CI=true make help CACHE=y"], id="assignments are no targets"),
        pytest.param(["$ hinf plan -f x.yaml -o json | jq ."], id="a subcommand and its options"),
        pytest.param(["$ hinf plan \\", "    --file x.yaml"], id="a command over two lines"),
        pytest.param(["make nothing"], id="output that looks like a command"),
        pytest.param(["$ kubectl get pods  # all"], id="programs of others"),
    ],
)
def test_commands_that_exist_pass(root, lines):
    assert problems(root, console(*lines)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("$ make nothing", "make has no target nothing", id="a target"),
        pytest.param("$ true && make CACHE", "make has no target CACHE", id="a variable"),
        pytest.param("$ hinf plan --fil x", "hinf plan has no option --fil", id="an option"),
        pytest.param(
            "$ .venv/bin/hinf fly", "hinf fly --help fails: no such command", id="a subcommand"
        ),
        pytest.param(
            "$ kubectl apply -f docs/x.yaml", "docs/x.yaml does not exist", id="a file of ours"
        ),
    ],
)
def test_a_command_that_does_not_exist_is_found(root, line, problem):
    assert problems(root, console("$ make help", line)) == [(3, problem)]


RESOURCE = """```yaml
apiVersion: hybridinference.dev/v1alpha1
kind: HybridInference
metadata: {{name: support}}
spec:
  models: [{{name: llama-3-8b, {field}: {{type: a10g}}}}]
```"""


def test_a_valid_resource_passes(root):
    assert problems(root, RESOURCE.format(field="accelerator")) == []


def test_an_unknown_field_of_a_resource_is_found(root):
    line, problem = problems(root, RESOURCE.format(field="acelerator"))[-1]
    assert line == 1
    assert problem.startswith("spec.models[0].acelerator: ")


def test_yaml_of_another_kind_is_not_ours_to_judge(root):
    assert problems(root, "```yaml\nkind: Secret\nspec: 3\n```") == []


def test_a_block_that_is_no_yaml_is_found(root):
    (finding,) = problems(root, "```yaml\na: [\n```")
    assert "the block is no YAML" in finding[1]
