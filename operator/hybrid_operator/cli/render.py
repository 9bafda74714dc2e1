"""`hinf render`: manifests, or the RouteTable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import yaml

from hybrid_operator.cli import local, offline
from hybrid_operator.cli.main import BadInputError, FileCommand, file_option, name_option
from hybrid_router.table import encode

if TYPE_CHECKING:
    from hybrid_router.table import RouteTable

_EXAMPLES = """\b
hinf render -f support.yaml                     the objects that the operator would apply
hinf render table -f support.yaml               what its routers serve in the cluster
hinf render table --local -f support.yaml > table.json
                                                what `hinf-router --table table.json` serves here
"""


@click.command(cls=FileCommand, epilog=_EXAMPLES)
@click.argument("what", type=click.Choice(["manifests", "table"]), default="manifests")
@file_option
@name_option
@click.option(
    "--local",
    "here",
    is_flag=True,
    help="A table for a router outside of a cluster: engines by address, provider keys from "
    "variables such as OPENAI_API_KEY, no client keys.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="NAME=URL",
    help="With --local: where a model's engine is; http://127.0.0.1:8000/v1, 8001 ... if unsaid.",
)
def render(
    what: str,
    path: str,
    name: str | None,
    here: bool,  # noqa: FBT001  click passes flags so
    engines: tuple[str, ...],
) -> None:
    """Print what a resource becomes: its Kubernetes manifests, or its RouteTable."""
    if engines and not here:
        raise BadInputError("--engine is for --local: in a cluster, engines are found by Service")
    if here and what != "table":
        raise BadInputError("--local is for the table: hinf render table --local -f FILE")
    if what == "table":
        resource = offline.one(path, name)
        click.echo(encode(_local(resource, engines) if here else resource.table()).decode())
        return
    chosen = [offline.one(path, name)] if name is not None else offline.read(path)
    for resource in chosen:
        for child in resource.sound().desired().objects:
            click.echo(f"---\n{yaml.safe_dump(_manifest(child), sort_keys=False)}", nl=False)
    step = offline.next_step(path, chosen)
    if step and sys.stdout.isatty():
        click.echo(f"\n{step}", err=True)


def _local(resource: offline.Resource, engines: tuple[str, ...]) -> RouteTable:
    """Return the table for here, and say on stderr what it expects."""
    table = local.localise(resource.table(), resource.spec, engines)
    for name, url in local.engines(resource.spec, engines).items():
        click.echo(f"{name}: an engine at {url} (--engine {name}=URL says another)", err=True)
    if local.keys(table):
        click.echo(f"keys of providers: {', '.join(local.keys(table))}", err=True)
    click.echo("next: hinf-router --table table.json --host 127.0.0.1", err=True)
    return table


def _manifest(child: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return a copy without the owner, which has no uid before it is applied.

    Parts are copied, because YAML would write shared ones as anchors.
    """
    if isinstance(child, dict):
        return {key: _manifest(each) for key, each in child.items() if key != "ownerReferences"}
    if isinstance(child, (list, tuple)):
        return [_manifest(each) for each in child]
    return child
