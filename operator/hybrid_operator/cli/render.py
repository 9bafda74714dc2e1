"""`hinf render`: manifests, or the RouteTable."""

from __future__ import annotations

from typing import Any

import click
import yaml

from hybrid_operator.cli import offline
from hybrid_operator.cli.main import BadInputError, file_option
from hybrid_router.table import encode

_EXAMPLES = """\b
hinf render -f support.yaml                     the objects that the operator would apply
hinf render table -f support.yaml > table.json  what `hinf-router --table table.json` serves
"""


@click.command(epilog=_EXAMPLES)
@click.argument("what", type=click.Choice(["manifests", "table"]), default="manifests")
@file_option
def render(what: str, path: str) -> None:
    """Print what a resource becomes: its Kubernetes manifests, or its RouteTable."""
    for resource in offline.read(path):
        if what == "table":
            click.echo(encode(resource.table()).decode())
            continue
        desired = resource.desired()
        if desired.problems:
            raise BadInputError("; ".join(f"{p.path}: {p.message}" for p in desired.problems))
        for child in desired.objects:
            click.echo(f"---\n{yaml.safe_dump(_manifest(child), sort_keys=False)}", nl=False)


def _manifest(child: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return a copy without the owner, which has no uid before it is applied.

    Parts are copied, because YAML would write shared ones as anchors.
    """
    if isinstance(child, dict):
        return {key: _manifest(each) for key, each in child.items() if key != "ownerReferences"}
    if isinstance(child, (list, tuple)):
        return [_manifest(each) for each in child]
    return child
