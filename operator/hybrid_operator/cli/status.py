"""`hinf status`: what runs now, and what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from hybrid_operator.cli.main import EXIT_NO, BadInputError, cluster_options, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.core import naming
from hybrid_operator.kube.client import Kube, connect
from hybrid_operator.kube.errors import Forbidden, KubeError, NotFound
from hybrid_operator.kube.kinds import RESOURCE, Key
from hybrid_operator.kube.kubeconfig import ConnectError

_NO_CRD = (
    "the cluster does not know HybridInferences: the CRD is not installed; helm install "
    "hybridinference charts/hybridinference (docs/install.md)"
)


@click.command()
@click.argument("name", required=False)
@cluster_options
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace.")
@output_option
def status(
    name: str | None,
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001  click passes flags so
    context: str | None,
    output: str,
) -> None:
    """Show what a HybridInference of the cluster does now; without NAME, all of the namespace.

    KUBECONFIG says which cluster. Exit status 1: one of them is not Ready.
    """
    try:
        found = asyncio.run(_read(name, namespace, context, every=all_namespaces))
    except (KubeError, ConnectError) as error:
        raise BadInputError(str(error)) from None
    pages = [_page(each) for each in found]
    emit([_summary(each) for each in found], output, "\n\n".join([*pages, _next(found)]))
    if not all(_is_true(each, "Ready") for each in found):
        raise click.exceptions.Exit(EXIT_NO)


async def _read(
    name: str | None, namespace: str | None, context: str | None, *, every: bool
) -> list[dict[str, Any]]:
    """Return what there is of that name, or all; at least one.

    Raises:
        BadInputError: there is none; the message says where was looked.
        KubeError, ConnectError: the cluster does not tell.
    """
    connection = connect(context)
    kube = Kube(connection.http)
    where = None if every else namespace or connection.namespace
    try:
        found = await _found(kube, name, where)
        if not found and not await kube.serves(RESOURCE):
            raise BadInputError(_NO_CRD)
    except Forbidden as error:
        raise BadInputError(
            f"you may not list hybridinferences {_where(where)}: Kubernetes' own role view "
            f"allows it (the API server says: {error.said})"
        ) from None
    finally:
        await kube.close()
    if not found:
        what = "HybridInference" if name is None else f"HybridInference {name!r}"
        more = "" if every else "; -A looks in every namespace"
        raise BadInputError(f"there is no {what} {_where(where)}{more}")
    return found


async def _found(kube: Kube, name: str | None, where: str | None) -> list[dict[str, Any]]:
    try:
        if name is not None and where is not None:
            return [await kube.get(RESOURCE, Key(where, name))]
        listed = await kube.list(RESOURCE, where)
    except NotFound:
        return []
    return [each for each in listed.items if name in {None, each["metadata"]["name"]}]


def _where(namespace: str | None) -> str:
    return f"in namespace {namespace}" if namespace else "in any namespace"


def _summary(resource: dict[str, Any]) -> dict[str, Any]:
    metadata = resource["metadata"]
    identity = {"name": metadata["name"], "namespace": metadata["namespace"]}
    return {**identity, **resource.get("status", {})}


def _page(resource: dict[str, Any]) -> str:
    metadata, state = resource["metadata"], resource.get("status", {})
    lines = [f"{metadata['namespace']}/{metadata['name']}  {state.get('endpoint', '')}".rstrip()]
    if state.get("models"):
        rows = [_row(each) for each in state["models"]]
        lines += ["", table(("MODEL", "READY", "WANTED", "LAST CHANGE"), rows)]
    lines += _answered(state.get("routing") or {})
    conditions = [
        (each["type"], each["status"], each["reason"], each.get("message", ""))
        for each in state.get("conditions", [])
    ]
    if conditions:
        head = ("CONDITION", "STATUS", "REASON", "MESSAGE")
        return "\n".join([*lines, "", table(head, conditions)])
    return "\n".join([*lines, "", "The operator has not looked at it yet: is it installed?"])


def _row(model: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return a model's replicas, and why they are as many."""
    scaling = model.get("scaling") or {}
    replicas = f"{model.get('readyReplicas', 0)}/{model.get('replicas', 0)}"
    wanted = f"{scaling['recommended']} ({scaling['reason']})" if scaling else "-"
    last = next(iter(scaling.get("decisions") or ()), "-")
    return model["name"], replicas, wanted, last


def _answered(routing: dict[str, Any]) -> list[str]:
    total = routing.get("requests", 0)
    if not total:
        return []
    shares = ", ".join(
        f"{routing.get(side, 0)} {name} ({routing.get(side, 0) / total:.0%})"
        for side, name in (("local", "locally"), ("api", "by the API"))
    )
    return ["", f"{total} requests answered since the routers started: {shares}"]


def _next(found: list[dict[str, Any]]) -> str:
    """Return the one thing to do now: look at what is wrong, or ask."""
    wrong = [each for each in found if not _is_true(each, "Ready") or _is_true(each, "Degraded")]
    metadata = (wrong or found)[0]["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    if wrong:
        return f"next: kubectl describe hinf {name} -n {namespace}"
    return (
        f"next: kubectl port-forward -n {namespace} service/{naming.router(name)} 8080:80, "
        "and ask http://127.0.0.1:8080/v1"
    )


def _is_true(resource: dict[str, Any], kind: str) -> bool:
    conditions = resource.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
