"""The text of core/engine/data/vllm_options.json: which releases' parsers have which option."""

from __future__ import annotations

import json
from pathlib import Path

from hybrid_operator.core.engine.version import parse

TARGET = (
    Path(__file__).parents[2] / "operator/hybrid_operator/core/engine/data" / "vllm_options.json"
)


def collect(found: dict[str, list[str]]) -> str:
    """Return the file's text: the releases, and of each option the first and last that have it."""
    releases = sorted(found, key=parse)
    names = sorted({name for each in found.values() for name in each})
    spans = {}
    for name in names:
        having = [release for release in releases if name in found[release]]
        spans[name] = [having[0], having[-1]]
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(span)}" for name, span in spans.items())
    return f'{{\n  "releases": {json.dumps(releases)},\n  "options": {{\n{rows}\n  }}\n}}\n'
