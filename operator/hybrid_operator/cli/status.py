"""`hinf status`: what runs now, and what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from hybrid_operator.cli.main import EXIT_NO, BadInputError, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.kube.client import ConnectError, Kube, connect
from hybrid_operator.kube.errors import KubeError, NotFound
from hybrid_operator.kube.kinds import RESOURCE, Key


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", help="Defaults to the kubeconfig's.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace.")
@output_option
def status(name: str | None, namespace: str | None, all_namespaces: bool, output: str) -> None:  # noqa: FBT001  click passes flags so
    """Show what a HybridInference of the cluster does now; without NAME, all of the namespace.

    KUBECONFIG says which cluster. Exit status 1: one of them is not Ready.
    """
    try:
        found = asyncio.run(_read(name, namespace, every=all_namespaces))
    except NotFound:
        raise BadInputError(f"there is no HybridInference {name!r} in this namespace") from None
    except (KubeError, ConnectError) as error:
        raise BadInputError(str(error)) from None
    if not found:
        raise BadInputError("there is no HybridInference here; -A looks in every namespace")
    emit([_summary(each) for each in found], output, "\n\n".join(_page(each) for each in found))
    if not all(_is_true(each, "Ready") for each in found):
        raise click.exceptions.Exit(EXIT_NO)


async def _read(name: str | None, namespace: str | None, *, every: bool) -> list[dict[str, Any]]:
    connection = connect()
    kube = Kube(connection.http)
    try:
        where = None if every else namespace or connection.namespace
        if name is not None and where is not None:
            return [await kube.get(RESOURCE, Key(where, name))]
        listed = await kube.list(RESOURCE, where)
    finally:
        await kube.close()
    return [each for each in listed.items if name in {None, each["metadata"]["name"]}]


def _summary(resource: dict[str, Any]) -> dict[str, Any]:
    metadata = resource["metadata"]
    identity = {"name": metadata["name"], "namespace": metadata["namespace"]}
    return {**identity, **resource.get("status", {})}


def _page(resource: dict[str, Any]) -> str:
    metadata, state = resource["metadata"], resource.get("status", {})
    lines = [f"{metadata['namespace']}/{metadata['name']}  {state.get('endpoint', '')}".rstrip()]
    if state.get("models"):
        rows = [
            (each["name"], f"{each.get('readyReplicas', 0)}/{each.get('replicas', 0)}")
            for each in state["models"]
        ]
        lines += ["", table(("MODEL", "READY"), rows)]
    conditions = [
        (each["type"], each["status"], each["reason"], each.get("message", ""))
        for each in state.get("conditions", [])
    ]
    if conditions:
        return "\n".join(
            [*lines, "", table(("CONDITION", "STATUS", "REASON", "MESSAGE"), conditions)]
        )
    return "\n".join([*lines, "", "The operator has not looked at it yet: is it installed?"])


def _is_true(resource: dict[str, Any], kind: str) -> bool:
    conditions = resource.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
