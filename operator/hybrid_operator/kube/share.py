"""Keeping equal parts of many objects once.

A thousand resources have a thousand times the same probes, ports and labels, and parsed JSON has
each of them anew. Nobody changes an object after it was made, so equal parts may be one.
"""

from __future__ import annotations

from typing import Any

LIMIT = 4_000
"""Parts that are known; beyond it all are forgotten, which costs nothing but sharing.

With a thousand resources 4 MB less than 20,000: what is only known here takes room, too.
"""
LONGEST = 256
"""Characters of a text that is looked up; longer ones are rarely equal."""


class Sharer:
    """The parts that are known."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:  # noqa: ANN401  JSON
        """Return what equals `value`, made of parts that are shared."""
        if len(self._known) > LIMIT:
            self._known.clear()
        return self._share(value)

    def _share(self, value: Any) -> Any:  # noqa: ANN401  JSON
        kind = type(value)
        if kind is str:
            return self._known.setdefault(value, value) if len(value) <= LONGEST else value
        if kind is dict:
            shared: Any = {self._share(k): self._share(v) for k, v in value.items()}
            # Its parts are shared, and live as long as they are known: who they are says it all.
            key: Any = (dict, *map(id, shared), *map(id, shared.values()))
        elif kind is list:
            shared = [self._share(each) for each in value]
            key = (list, *map(id, shared))
        else:
            return value
        return self._known.setdefault(key, shared)
