"""What compiling the router needs, as scripts ask for it."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from tools import compile as tool


@pytest.mark.parametrize(
    ("compiler", "headers", "packages"),
    [
        pytest.param(True, True, "", id="all is there"),
        pytest.param(False, True, "gcc libc6-dev", id="no compiler"),
        pytest.param(True, False, "python3-dev", id="no headers"),
        pytest.param(False, False, "gcc libc6-dev python3-dev", id="nothing"),
    ],
)
def test_what_is_missing_is_named_as_debian_names_it(
    compiler, headers, packages, tmp_path: Path, monkeypatch, capsys
):
    if headers:
        (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/cc" if compiler else None)

    assert tool.main(["--missing"]) == 0
    assert capsys.readouterr().out.strip() == packages
    if packages:
        assert tool.main([]) == 1
        assert packages in capsys.readouterr().err
