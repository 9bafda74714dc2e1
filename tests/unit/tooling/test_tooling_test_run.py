"""`make test`: adding up, finding every test, starting and leaving the cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import test as test_run
from tools.cluster import Cluster
from tools.junit import Skip, Tally, read_junit
from tools.processes import Clock, start, stop

JUNIT = """<testsuites><testsuite tests="6">
<testcase classname="t.a" name="passes" />
<testcase classname="t.a" name="fails"><failure message="no">trace</failure></testcase>
<testcase classname="t.a" name="has a broken fixture"><error message="no">trace</error></testcase>
<testcase classname="t.a" name="fails twice"><failure message="no">trace</failure></testcase>
<testcase classname="t.a" name="fails twice"><error message="no">trace</error></testcase>
<testcase classname="t.a" name="skips"><skipped message="needs a GPU" /></testcase>
</testsuite></testsuites>"""


def test_a_junit_file_is_added_up(tmp_path):
    (tmp_path / "unit.xml").write_text(JUNIT)
    tally = read_junit(tmp_path / "unit.xml")
    assert tally == Tally(passed=1, failed=3, skips=(Skip("t.a::skips", "needs a GPU"),))
    assert str(tally) == "1 passed, 3 failed, 1 skipped"
    assert tally.total == 5


def test_a_missing_junit_file_holds_nothing(tmp_path):
    assert read_junit(tmp_path / "none.xml") == Tally()


def test_parts_are_summed():
    skip = Skip("a", "needs a GPU")
    assert Tally(2, 1) + Tally(3, 0, (skip,)) == Tally(5, 1, (skip,))


def test_every_folder_with_tests_belongs_to_a_part(tmp_path):
    for name in ("unit/a", "unit/b", "golden", "e2e", "integration", "perf", "support", "new"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "test_it.py").touch()
    (tmp_path / "empty").mkdir()
    assert test_run.folders("unit", tmp_path) == ["tests/golden", "tests/new", "tests/unit"]
    assert test_run.folders("e2e", tmp_path) == ["tests/e2e"]


def test_cluster_parts_run_in_the_cluster_and_others_do_not():
    assert test_run.pytest_command("e2e", ["tests/e2e"])[0] == "tests/cluster/run"
    assert test_run.pytest_command("unit", ["tests/unit"])[0] == ".venv/bin/pytest"


PASSES = "def test_it():\n    pass\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a `pytest`, and cluster scripts that write down what they did."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.repo.ROOT", tmp_path)
    for name in ("KUBECONFIG", "CI", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    script("tests/cluster/up", "echo up >>calls; echo building; touch is-up")
    script("tests/cluster/down", "echo down >>calls; rm -f is-up")
    script("tests/cluster/run", '[[ -f is-up ]] || exit 1; exec "$@"')
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # faster
    script(".venv/bin/pytest", f'exec {sys.executable} -m pytest -p no:cacheprovider "$@"')
    monkeypatch.setattr(test_run, "COMPILED", ("tests/unit",))
    for part in ("unit", "integration", "e2e"):
        suite(part, PASSES)
    Path("calls").touch()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def script(name: str, body: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def suite(part: str, source: str) -> None:
    path = Path("tests") / part / f"test_{part}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def run(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, str, list[str]]:
    """Run the parts; return exit status, last line, and what the cluster's scripts did."""
    code = test_run.main(names)
    return code, capsys.readouterr().out.splitlines()[-1], Path("calls").read_text().split()


@pytest.mark.usefixtures("checkout")
def test_all_parts_run_and_the_cluster_is_started_and_taken_down(capsys):
    assert run(capsys) == (0, "4 passed, 0 failed, 0 skipped", ["up", "down"])


@pytest.mark.usefixtures("checkout")
def test_unit_tests_need_no_cluster(capsys):
    assert run(capsys, "unit") == (0, "1 passed, 0 failed, 0 skipped", [])


@pytest.mark.usefixtures("checkout")
def test_what_a_part_needs_is_prepared_before_its_tests(capsys):
    script("tests/e2e/prepare", "echo prepare >>calls")
    suite("e2e", "def test_it():\n    assert 'prepare' in open('calls').read()\n")
    expected = (0, "1 passed, 0 failed, 0 skipped", ["up", "prepare", "down"])
    assert run(capsys, "e2e") == expected


@pytest.mark.usefixtures("checkout")
def test_a_part_that_cannot_be_prepared_has_failed(capsys):
    script("tests/e2e/prepare", "exit 3")
    assert run(capsys, "e2e")[:2] == (1, "0 passed, 1 failed, 0 skipped")


@pytest.mark.usefixtures("checkout")
def test_a_cluster_that_was_up_is_left_up(capsys):
    Path("is-up").touch()
    assert run(capsys, "e2e") == (0, "1 passed, 0 failed, 0 skipped", ["up"])


@pytest.mark.usefixtures("checkout")
def test_in_ci_the_cluster_is_always_taken_down(capsys, monkeypatch):
    monkeypatch.setenv("CI", "true")
    Path("is-up").touch()
    assert run(capsys, "e2e")[2] == ["up", "down"]


@pytest.mark.usefixtures("checkout")
def test_a_cluster_that_kubeconfig_names_is_never_taken_down(capsys, monkeypatch):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("KUBECONFIG", "theirs")
    assert run(capsys, "e2e")[2] == ["up"]


@pytest.mark.usefixtures("checkout")
def test_a_cluster_that_does_not_start_fails_its_parts_and_shows_why(capsys):
    script("tests/cluster/up", "echo no containerd; exit 1")
    code = test_run.main([])
    output = capsys.readouterr().out
    assert code == 1
    assert "no containerd" in output
    assert output.endswith("2 passed, 2 failed, 0 skipped\n")


@pytest.mark.usefixtures("checkout")
def test_a_cluster_that_cannot_be_taken_down_is_a_failure(capsys):
    script("tests/cluster/down", "exit 3")
    assert run(capsys, "e2e")[:2] == (1, "1 passed, 1 failed, 0 skipped")


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(
    ("source", "summary"),
    [
        pytest.param(
            PASSES + "def test_no():\n    assert 0\n",
            "1 passed, 1 failed, 0 skipped",
            id="a test fails",
        ),
        pytest.param("", "0 passed, 1 failed, 0 skipped", id="no test runs"),
        pytest.param("import nothing_\n", "0 passed, 1 failed, 0 skipped", id="nothing loads"),
        pytest.param(
            PASSES + "import pytest\ndef test_s():\n    pytest.skip('no vLLM here')\n",
            "1 passed, 0 failed, 1 skipped",
            id="a test is skipped without being allowed",
        ),
        pytest.param(
            PASSES + "import pytest\n@pytest.mark.xfail\ndef test_x():\n    assert 0\n",
            "1 passed, 0 failed, 1 skipped",
            id="a failure is expected",
        ),
    ],
)
def test_the_run_fails_when(capsys, source, summary):
    suite("unit", source)
    assert run(capsys, "unit") == (1, summary, [])


@pytest.mark.usefixtures("checkout")
def test_a_part_without_a_folder_is_a_failure(capsys):
    Path("tests/e2e/test_e2e.py").unlink()
    Path("tests/e2e").rmdir()
    assert run(capsys)[:2] == (1, "3 passed, 1 failed, 0 skipped")


@pytest.mark.usefixtures("checkout")
def test_a_missing_gpu_is_a_reason_to_skip(capsys):
    suite("unit", PASSES + "import pytest\ndef test_s():\n    pytest.skip('needs a GPU: FP8')\n")
    assert run(capsys, "unit") == (0, "1 passed, 0 failed, 1 skipped", [])


def test_an_unknown_part_is_refused(capsys):
    assert test_run.main(["everything"]) == 2
    assert "there are: unit, compiled, integration, e2e" in capsys.readouterr().out


def test_an_interrupted_start_is_ended_and_the_cluster_taken_down(checkout):
    script(
        "tests/cluster/up",
        "trap 'echo told >>calls; exit 1' INT; touch begun; while :; do sleep 0.1; done",
    )
    interrupt = pytest.raises(KeyboardInterrupt)
    with interrupt, Cluster(checkout / "up.log", Clock(), needed=True):
        wait_for(checkout / "begun")
        raise KeyboardInterrupt
    assert Path("calls").read_text().split() == ["told", "down"]


def test_a_program_started_while_taking_down_can_be_ended(checkout):
    script("tests/cluster/down", "grep SigIgn /proc/self/status >ignored")
    with Cluster(checkout / "up.log", Clock(), needed=True) as cluster:
        assert cluster.wait()
    ignored = int(Path("ignored").read_text().split()[1], 16)
    assert not ignored & (1 << signal.SIGTERM - 1)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_stopping_a_program_ends_its_children_too(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.processes.PATIENCE_S", 0.3)  # the child does not heed SIGINT
    command = ["bash", "-c", "sleep 60 & touch begun; wait"]
    pipe, writing = os.pipe()
    process = subprocess.Popen(command, cwd=tmp_path, stdout=writing, start_new_session=True)
    os.close(writing)
    wait_for(tmp_path / "begun")
    stop(process)
    with os.fdopen(pipe, "rb") as left:
        assert left.read() == b"", "the pipe has an end: no child holds it open"


def test_what_is_started_has_no_input_and_a_log(tmp_path):
    process = start(["bash", "-c", "cat; echo out; echo error >&2"], tmp_path / "log")
    assert process.wait() == 0
    assert (tmp_path / "log").read_text() == "out\nerror\n"
