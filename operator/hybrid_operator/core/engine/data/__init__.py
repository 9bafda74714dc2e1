"""The catalogues, as data: GPUs, models, tasks."""

from __future__ import annotations

from pathlib import Path


def text(name: str) -> str:
    """Return the catalogue `name` of this package."""
    # Not importlib.resources: it costs 10 ms of the 300 in which `hinf` answers.
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
