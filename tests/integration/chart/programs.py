"""helm, kubectl and kubeconform, as tests/cluster/run puts them on PATH."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "hybridinference"


def run(*command: str, stdin: str | None = None) -> str:
    """Run a program; a failure fails the test with what it said."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, input=stdin, timeout=60
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def refused(*command: str, stdin: str | None = None) -> str:
    """Run a program that must fail; return what it said."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, input=stdin, timeout=60
    )
    assert done.returncode != 0, f"{' '.join(command)} did not fail: {done.stdout[:500]}"
    return done.stderr + done.stdout


def template(*options: str, release: str = "hybridinference", namespace: str = "system") -> str:
    """Render the chart without a cluster."""
    return run("helm", "template", release, str(CHART), "--namespace", namespace, *options)


def objects(text: str) -> list[dict[str, Any]]:
    """Read the objects of a manifest."""
    return [each for each in yaml.safe_load_all(text) if each]


def find(text: str, kind: str, name: str) -> dict[str, Any]:
    """Return the one object of that kind and name."""
    found = [
        each for each in objects(text) if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    assert len(found) == 1, f"{len(found)} objects are {kind} {name}"
    return found[0]
