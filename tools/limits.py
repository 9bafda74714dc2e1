"""Size limits: a function fits a screen, a file fits a sitting.

Run as `python -m tools.limits`; prints `file:line: what is too long` and exits 1 on a finding.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import repo

FUNCTION_LINES = 50
FILE_LINES = 400
PARAMETERS = 6


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count what a caller may pass; `self` and `cls` are not passed."""
    args = function.args
    positional = [*args.posonlyargs, *args.args]
    bound = bool(positional) and positional[0].arg in {"self", "cls"}
    variadic = [name for name in (args.vararg, args.kwarg) if name]
    return len(positional) - bound + len(args.kwonlyargs) + len(variadic)


def findings_in_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for each function over a limit."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {lines} lines, the limit is {FUNCTION_LINES}"
        count = parameters(node)
        if count > PARAMETERS:
            yield node.lineno, f"{node.name} has {count} parameters, the limit is {PARAMETERS}"


def findings(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for one Python or shell file."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield 1, f"the file has {lines} lines, the limit is {FILE_LINES}"
    if path.suffix == ".py":
        yield from findings_in_python(source)


def main() -> int:
    """Check every Python and shell file of the repository."""
    paths = [path for path in repo.files() if path.suffix == ".py" or repo.is_shell(path)]
    found = 0
    for path, source in repo.text_files(paths):
        for line, problem in findings(path, source):
            print(f"{path.relative_to(repo.ROOT)}:{line}: {problem}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
