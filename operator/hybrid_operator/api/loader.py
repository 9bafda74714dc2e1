"""YAML as Kubernetes reads it: no dates, and no key twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Strict(yaml.constructor.SafeConstructor):
    """Without implicit dates, which JSON has not, and with unique keys."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  the base class's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{key.value} stands twice in one mapping",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Telling(_Strict, yaml.SafeLoader):
    """Says where a text is wrong, and what was expected there."""


class _Fast(_Strict, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Takes a tenth of the time."""


def documents(text: str) -> list[Any]:
    """Return the documents of a YAML text that are not empty.

    Raises:
        yaml.YAMLError: It is not YAML, or says a key twice.
    """
    try:
        loaded = [*yaml.load_all(text, Loader=_Fast)]
    except yaml.YAMLError:
        loaded = [*yaml.load_all(text, Loader=_Telling)]
    return [each for each in loaded if each is not None]
