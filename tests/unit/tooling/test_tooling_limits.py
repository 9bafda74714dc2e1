"""The size checker."""

import pytest

from tools import limits


def function(lines: int, parameters: str = "") -> str:
    body = "\n".join(f"    x = {number}" for number in range(lines - 1))
    return f"def f({parameters}):\n{body}\n"


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        pytest.param(function(50), [], id="a function of 50 lines is allowed"),
        pytest.param(
            function(51),
            [(1, "f has 51 lines, the limit is 50")],
            id="a function of 51 lines is found",
        ),
        pytest.param(
            "async " + function(51),
            [(1, "f has 51 lines, the limit is 50")],
            id="an async function counts like any other",
        ),
        pytest.param(function(2, "a, b, c, *, d, e, f"), [], id="six parameters are allowed"),
        pytest.param(
            function(2, "a, b, c, *, d, e, f, g"),
            [(1, "f has 7 parameters, the limit is 6")],
            id="keyword-only parameters count",
        ),
        pytest.param(
            function(2, "a, b, c, d, e, *f, **g"),
            [(1, "f has 7 parameters, the limit is 6")],
            id="variadic parameters count",
        ),
        pytest.param(function(2, "self, a, b, c, d, e, f"), [], id="self does not count"),
        pytest.param(
            "class C:\n    def m(self):\n        pass\n\n\n" + function(51),
            [(6, "f has 51 lines, the limit is 50")],
            id="the line is that of the function",
        ),
    ],
)
def test_functions_are_measured(source, problems):
    assert list(limits.findings_in_python(source)) == problems


def test_a_file_of_401_lines_is_found(tmp_path):
    assert list(limits.findings(tmp_path / "a.py", "x = 1\n" * 400)) == []
    assert list(limits.findings(tmp_path / "a.py", "x = 1\n" * 401)) == [
        (1, "the file has 401 lines, the limit is 400")
    ]


def test_a_shell_script_is_measured_as_a_file_only(tmp_path):
    assert list(limits.findings(tmp_path / "up", "def (\n")) == []
