"""Reading numbers out of a model's config.json."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]


class ConfigError(ValueError):
    """A config.json from which memory cannot be planned; the message says what is missing."""


def size(config: Config, name: str, default: int | None = None) -> int:
    """Return a positive number.

    Raises:
        ConfigError: it is missing without a default, or no positive whole number.
    """
    value = config.get(name)
    if value is None:
        value = default
    if value is None:
        raise ConfigError(f"has no {name}")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}, and must be a positive whole number")
    return value


def count(config: Config, name: str) -> int:
    """Return a number that may be 0 or left out."""
    return size(config, name) if config.get(name) else 0


def at(config: Config, name: str, index: int) -> int:
    """Return a number that may be stated once for all layers, or as a list with one for each."""
    value = config.get(name)
    if isinstance(value, list):
        if index >= len(value):
            raise ConfigError(f"{name} has {len(value)} entries, and layer {index} needs one")
        return size({name: value[index]}, name)
    return size(config, name)
