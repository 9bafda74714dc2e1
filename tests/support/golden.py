"""Golden files: what a reviewer reads instead of a hundred assertions.

`UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit` writes them anew; read the difference before it is
committed.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


def check_folder(folder: Path, files: dict[str, str]) -> None:
    """Assert that `folder` holds exactly `files`, by name."""
    if os.environ.get("UPDATE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.iterdir():
            stale.unlink()
        for name, text in files.items():
            (folder / name).write_text(text)
    kept = {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else {}
    assert sorted(files) == sorted(kept), (
        f"{folder}: other files; set UPDATE_GOLDEN=1 to write them"
    )
    for name, text in files.items():
        check_text(kept[name], text, folder / name)


def check_file(path: Path, text: str) -> None:
    """Assert that the file at `path` holds `text`."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    check_text(path.read_text() if path.exists() else "", text, path)


def check_text(kept: str, text: str, path: Path) -> None:
    """Assert that two texts are the same; pytest shows their difference."""
    assert text == kept, f"{path} differs; set UPDATE_GOLDEN=1 to write it"
