"""`hinf classifier fit`, `apply` and `rollback`: outcomes become what routers decide by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli.main import EXIT_NO, BadInputError, cluster_options
from hybrid_operator.cli.numbers import Number
from hybrid_operator.cli.output import table
from hybrid_operator.cli.states import STATE, read_state
from hybrid_operator.core.calibration import REJECT, manifest
from hybrid_operator.kube.client import Kube, connect
from hybrid_operator.kube.errors import KubeError, NotFound
from hybrid_operator.kube.kinds import CHILDREN, RESOURCE, Key
from hybrid_operator.kube.kubeconfig import ConnectError
from hybrid_router.classify.parameters import shipped
from hybrid_router.core.cascade import NAME as CASCADE
from hybrid_router.core.cost import Prices, down
from hybrid_router.outcomes import fit as fitting
from hybrid_router.outcomes import log as logs
from hybrid_router.outcomes.cutting import cheapest
from hybrid_router.table import Price, encode_calibration

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from hybrid_router.outcomes.fit import Fitted
    from hybrid_router.outcomes.log import Log
    from hybrid_router.table import Calibration

PROBABILITY = Number(0, 1)


@click.command()
@click.option(
    "--log",
    "paths",
    multiple=True,
    required=True,
    type=click.File(encoding="utf-8", errors="replace"),
    help="Routers' access log, as `kubectl logs` gives it; - reads standard input. Repeatable.",
)
@click.option("-o", "--output", type=STATE, help="State to write; without it, only the table.")
@click.option("--state", "before", type=STATE, help="State in force, to compare with.")
@click.option(
    "--threshold",
    type=PROBABILITY,
    default=0.85,
    show_default=True,
    help="Confidence from which a request is local, for the figures.",
)
@click.option(
    "--quality", type=PROBABILITY, default=0.95, show_default=True,
    help="Share of the API's quality, for the figures.",
)  # fmt: skip
@click.option(
    "--usd", nargs=3, type=Number(min=0), metavar="INPUT OUTPUT LOCAL",
    help="For a cascade's threshold: USD per million tokens, the API's and the local model's.",
)  # fmt: skip
def fit(
    paths: tuple[Any, ...],
    output: Path | None,
    before: Path | None,
    threshold: float,
    quality: float,
    usd: tuple[float, float, float] | None,
) -> None:
    """Fit confidences to what became of local answers.

    Outcomes (feedback, escalations, the judge's) are joined with decisions by request id; the
    figures are of outcomes that the fit had not seen. Exit status 1: there are too few outcomes, or
    the state would be worse than what is in force; then nothing is written.
    """
    log = logs.read(line for path in paths for line in path)
    if not log.decisions:
        raise BadInputError(
            f"no request in the log was decided by a confidence ({log.unread} lines are none of a "
            "router's): is spec.router.accessLog on?"
        )
    known = read_state(before) if before is not None else None
    if known is not None and (known.classifier, known.model) != (log.classifier, log.model):
        raise BadInputError(
            f"{before}: is of {known.classifier} {known.model}, the log of {log.classifier} "
            f"{log.model}; leave --state out"
        )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    click.echo(_gathered(log))
    curve = shipped().curve if log.classifier == "embedded" else ()
    fitted = fitting.fit(log, known, threshold, quality, now, curve)
    click.echo(_page(fitted, log, threshold, quality))
    _judge(fitted)
    if log.classifier == CASCADE:
        click.echo(_cheapest(log, fitted, usd, quality))
    if output is None:
        click.echo("\nnext: the same with -o state.json")
        return
    output.write_bytes(encode_calibration(fitted.state) + b"\n")
    click.echo(
        f"\n{output}: state {fitted.state.digest}; next: hinf classifier apply {output} NAME"
    )


def _judge(fitted: Fitted) -> None:
    held = fitted.state.held_out
    if held.outcomes < fitting.LEAST_OUTCOMES:
        click.echo(
            f"\nno state: {held.outcomes} outcomes of local answers, {fitting.LEAST_OUTCOMES} are "
            "needed"
        )
        raise click.exceptions.Exit(EXIT_NO)
    if not fitted.better:
        click.echo(
            f"\nno state: on outcomes held out it is worse than what is in force (log loss "
            f"{held.log_loss_after:.4f}, now {held.log_loss_before:.4f}); what is in force stays"
        )
        raise click.exceptions.Exit(EXIT_NO)


def _cheapest(
    log: Log, fitted: Fitted, usd: tuple[float, float, float] | None, quality: float
) -> str:
    """Return the sentence about a cascade's threshold at which least is paid."""
    if usd is None:
        return "\nwith --usd INPUT OUTPUT LOCAL, the threshold at which least is paid is said, too"
    prices = Prices(
        api=Price(input=usd[0], output=usd[1]), local=Price(input=usd[2], output=usd[2])
    )
    try:
        cut = cheapest(log, fitted, prices, quality)
    except ValueError as error:
        return f"\nno threshold is chosen: {error}"
    paid = f"{cut.usd * 1000:.4f} USD per 1000 requests"
    if cut.threshold is None:
        return f"\ndrafts do not pay at {quality:.0%} of the API's quality: {paid} without them"
    return (
        f"\ncheapest at {quality:.0%} of the API's quality, expected: a threshold of "
        f"{down(cut.threshold):.4f}, {cut.local:.1%} local, {paid}"
    )


def _gathered(log: Log) -> str:
    local = sum(d.local for d in log.decisions)
    sources: dict[str, int] = {}
    for example in log.examples:
        sources[example.source] = sources.get(example.source, 0) + 1
    by = ", ".join(f"{name} {count}" for name, count in sorted(sources.items())) or "none"
    lines = [
        f"{len(log.decisions)} decisions of {log.classifier} {log.model}, {local} answered locally",
        f"{len(log.examples)} outcomes of local answers ({by}), {len(log.api)} of the API's",
    ]
    if log.unmatched:
        lines.append(f"{log.unmatched} requests have outcomes and no decision here: left out")
    if log.other:
        lines.append(f"{log.other} decisions are of other classifiers or models: left out")
    return "\n".join(lines) + "\n"


def _page(fitted: Fitted, log: Log, threshold: float, quality: float) -> str:
    head = ("intent", "outcomes", "good", "said", "now", "ECE", "now", "Brier", "now")
    rows = [
        (
            row.intent, row.outcomes, f"{row.good:.3f}",
            *(f"{value:.3f}" for pair in (row.said, row.ece, row.brier) for value in pair),
        )
        for row in fitted.rows
    ]  # fmt: skip
    lowest, share = fitted.unseen
    judged = len({e.request_id for e in log.examples}) / max(sum(d.local for d in log.decisions), 1)
    notes = [
        f"local at a threshold of {threshold:g}: {_move(fitted.local)}",
        f"local at {quality:.0%} of the API's quality: {_move(fitted.at_quality)}",
        f"the API's own answers count as good {fitted.api_good:.0%} of the time"
        + ("" if len(log.api) >= fitting.LEAST_API else " (too few are judged)"),
        f"{judged:.1%} of local answers are judged; who judges is no random sample",
        f"{share:.1%} of decisions score below {lowest:.2f}, where no local answer was judged:",
        "there the map is drawn out, not measured; routing.comparison would show it",
    ]
    return "\n".join([table(head, rows), "", *notes])


def _move(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.1%} -> {pair[1]:.1%}"


@click.command()
@click.argument("file", type=STATE)
@click.argument("name")
@cluster_options
@click.option("--print", "shows", is_flag=True, help="Print the ConfigMap instead of applying it.")
def apply(
    file: Path,
    name: str,
    namespace: str | None,
    context: str | None,
    shows: bool,  # noqa: FBT001  click passes flags so
) -> None:
    """Give the state in FILE to the HybridInference NAME.

    It becomes the ConfigMap that spec.routing.calibration names. The operator checks it and puts it
    into the routers' table; no router restarts. `hinf status` tells, in the condition Calibrated.
    """
    state = read_state(file)
    _run(
        lambda kube, where: _apply(kube, Key(namespace or where, name), state, shows=shows), context
    )


async def _apply(kube: Kube, key: Key, state: Calibration, *, shows: bool) -> None:
    resource = await _resource(kube, key)
    stated = ((resource.get("spec") or {}).get("routing") or {}).get("calibration") or {}
    wanted = stated.get("configMap")
    if not wanted:
        raise BadInputError(
            f"{key}: spec.routing.calibration names no ConfigMap; add there: "
            f"calibration: {{configMap: {key.name}-calibration}}"
        )
    document = manifest(key.namespace, wanted, key.name, encode_calibration(state).decode())
    if shows:
        import yaml  # noqa: PLC0415  costs 15 ms

        click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
        return
    await kube.apply(CHILDREN["ConfigMap"], document, manager="hinf", force=True)
    click.echo(f"ConfigMap {key.namespace}/{wanted}: state {state.digest}")
    click.echo(f"next: hinf status {key.name} -n {key.namespace}")


@click.command()
@click.argument("name")
@cluster_options
def rollback(name: str, namespace: str | None, context: str | None) -> None:
    """Take back the state in force of the HybridInference NAME.

    The one before is in force again, or none. The state is not taken again: fit another one.
    """
    _run(lambda kube, where: _rollback(kube, Key(namespace or where, name)), context)


async def _rollback(kube: Kube, key: Key) -> None:
    resource = await _resource(kube, key)
    told = (resource.get("status") or {}).get("calibration") or {}
    state = told.get("state")
    if not state:
        raise BadInputError(f"{key}: no calibration state is in force")
    change = {"metadata": {"annotations": {REJECT: state}}}
    await kube.merge(RESOURCE, key, change, manager="hinf")
    click.echo(f"{key}: state {state} is taken back; {told.get('previous') or 'none'} comes again")


async def _resource(kube: Kube, key: Key) -> dict[str, Any]:
    try:
        return await kube.get(RESOURCE, key)
    except NotFound:
        raise BadInputError(f"there is no HybridInference {key}") from None


def _run(work: Callable[[Kube, str], Coroutine[Any, Any, None]], context: str | None) -> None:
    async def run() -> None:
        connection = connect(context)
        kube = Kube(connection.http)
        try:
            await work(kube, connection.namespace)
        finally:
            await kube.close()

    try:
        asyncio.run(run())
    except (KubeError, ConnectError) as error:
        raise BadInputError(str(error)) from None
