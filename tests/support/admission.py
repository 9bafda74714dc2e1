"""Resources with what is said about them, as files in tests/golden/admission.

A file in `bad` begins with a sentence about it as a comment, then one comment line for every
complaint: `# api: ...` of the API server, `# hinf: ...` of the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "admission"


@dataclass(frozen=True, slots=True)
class Case:
    """One file."""

    path: Path
    title: str
    text: str
    api: list[str]
    hinf: list[str]


def bad() -> list[Case]:
    """Return the resources that must be refused."""
    return [read(path) for path in sorted((GOLDEN / "bad").glob("*.yaml"))]


def good() -> list[Path]:
    """Return the files with resources that must be admitted as they stand."""
    return [*sorted((GOLDEN / "good").glob("*.yaml")), *sorted((ROOT / "examples").glob("*.yaml"))]


def read(path: Path) -> Case:
    """Read one file."""
    text = path.read_text(encoding="utf-8")
    comments = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return Case(path, comments[0], text, _after("api: ", comments), _after("hinf: ", comments))


def _after(prefix: str, lines: list[str]) -> list[str]:
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
