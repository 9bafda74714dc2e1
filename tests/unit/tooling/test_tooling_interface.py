"""What stays fixed for users of the repository: `make help` and its targets."""

import re
import subprocess

import pytest

from tools import check, repo

FIXED = {
    *("help", "setup", "test", "check", "generate", "demo"),
    *("cluster-up", "cluster-down", "bench"),
}


def makefile() -> str:
    return (repo.ROOT / "Makefile").read_text()


def public_targets() -> list[str]:
    declared = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", makefile(), re.MULTILINE)
    assert declared
    return [name for name in declared[1].replace("\\", " ").split() if name != "help"]


@pytest.fixture(scope="module")
def manual():
    command = ["make", "-C", str(repo.ROOT)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_manual_lists_every_target(manual):
    listed = re.findall(r"^  make ([\w-]+) ", manual, re.MULTILINE)
    assert listed == public_targets()


def test_every_target_of_the_fixed_interface_is_there():
    assert {*public_targets(), "help"} >= FIXED


def test_the_manual_begins_with_the_two_commands_that_a_newcomer_needs(manual):
    assert re.findall(r"make ([\w-]+)", manual)[:2] == ["demo", "test"]


def test_the_manual_fits_a_terminal(manual):
    assert max(map(len, manual.splitlines())) <= 100


@pytest.mark.parametrize("name", ["KUBECONFIG", "HINF_CLUSTER", "HINF_CACHE"])
def test_the_manual_tells_the_environment_variables_that_matter(manual, name):
    assert re.search(rf"^  {name} +\w", manual, re.MULTILINE)


def test_a_failed_check_shows_its_output_and_how_to_mend_it():
    outcome = check.run(check.Check("format", ("sh", "-c", "echo bad; exit 1"), "make fmt"))
    head, *rest = check.report(outcome).splitlines()
    assert re.fullmatch(r"format +FAILED +\d+\.\d s", head)
    assert rest == ["    bad", "    -> make fmt"]


def test_a_passed_check_is_one_line():
    outcome = check.run(check.Check("format", ("sh", "-c", "echo fine"), "make fmt"))
    assert re.fullmatch(r"format +ok +\d+\.\d s", check.report(outcome))


def test_a_tool_that_is_missing_is_a_failed_check():
    outcome = check.run(check.Check("types", ("no-such-tool",), ""))
    assert "no-such-tool is not there; run: make setup" in check.report(outcome)


def test_an_unknown_check_is_refused(capsys):
    assert check.main(["taste"]) == 2
    assert "no check is called taste" in capsys.readouterr().out
