""".ci/run: what decides whether a commit is good."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tools import repo


@pytest.fixture
def clone(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(repo.ROOT / ".ci" / "run", tmp_path / ".ci" / "run")

    def start(check: str, test: str) -> subprocess.Popen[str]:
        makefile = f"check:\n\t@{check}\ntest:\n\t@{test}\n"
        (tmp_path / "Makefile").write_text(makefile)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("MAKE")
        }
        return subprocess.Popen(
            [tmp_path / ".ci" / "run"],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.parametrize(
    ("check", "test", "code", "verdict"),
    [
        pytest.param("true", "true", 0, "passed", id="both pass"),
        pytest.param("false", "true", 1, "FAILED", id="the check fails"),
        pytest.param("true", "false", 1, "FAILED", id="the tests fail"),
    ],
)
def test_the_exit_status_is_honest(clone, check, test, code, verdict):
    process = clone(f"echo checked; {check}", f"echo tested; {test}")
    output, _ = process.communicate()
    assert process.returncode == code
    assert "checked" in output
    assert "tested" in output
    assert output.splitlines()[-1].startswith("total: 0 min ")
    assert output.endswith(f" s, {verdict}\n")


def test_the_steps_know_that_it_is_ci_and_have_no_input(clone):
    output, _ = clone("cat", 'echo "CI is $$CI"').communicate("typed")
    assert "typed" not in output
    assert "CI is true" in output


def test_ended_from_outside_it_lets_the_step_clean_up(clone, tmp_path):
    step = "trap 'touch cleaned; exit 1' TERM; touch begun; while :; do sleep 0.1; done"
    process = clone(f'exec bash -c "{step}"', "true")
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert (tmp_path / "cleaned").exists()
    assert "total" not in output
