"""The docstrings below the fields of a class, which Python itself does not keep.

Read from the source only when a document is generated: pydantic's own `use_attribute_docstrings`
reads it at every import, which takes `hinf` longer than most of what it is asked.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def of_class(part: type) -> dict[str, str]:
    """Return the docstrings of the fields of `part` and of what it inherits from, by field.

    A class that was made at run time has none.
    """
    found: dict[str, str] = {}
    for base in reversed(part.__mro__):
        if "__annotations__" in vars(base):
            found.update(_of_module(base.__module__).get(base.__name__, {}))
    return found


@functools.cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    return of_source(inspect.getsource(sys.modules[name]))


def of_source(source: str) -> dict[str, dict[str, str]]:
    """Return the docstrings of the fields of every class at a source's top level, by class."""
    return {
        node.name: dict(_fields(node))
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, " ".join(str(below.value.value).split())
