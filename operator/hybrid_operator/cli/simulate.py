"""`hinf simulate`: what a scaling policy costs on a trace."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli.main import BadInputError
from hybrid_operator.cli.numbers import Number
from hybrid_operator.cli.output import emit, table
from hybrid_operator.simulate import fluid, reading, trace
from hybrid_operator.simulate.events import Simulation
from hybrid_operator.simulate.peers import Replay
from hybrid_operator.simulate.policies import POLICIES, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hybrid_operator.simulate.fluid import Result, Setting
    from hybrid_operator.simulate.trace import Trace

_POSITIVE = Number(min=0, min_open=True)
_OPTIONS: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
    click.option("--trace", "path", required=True, type=click.Path(path_type=Path),
                 help="A CSV, or the access log of a router."),
    click.option("--policy", "names", multiple=True, required=True,
                 type=click.Choice([*POLICIES, "all"]), help="May be given several times."),
    click.option("--model", type=click.Choice(["fluid", "events"]), default="fluid",
                 show_default=True,
                 help="fluid: work is served or diverted at once. events: engines that queue."),
    click.option("--stretch", type=_POSITIVE, default=1.0, help="Pauses so many times as long."),
    click.option("--volume", type=click.IntRange(min=1), default=1,
                 help="Requests for every one of the trace."),
    click.option("--input-price", type=Number(min=0), default=0.15, show_default=True,
                 help="Of the API, USD per million prompt tokens."),
    click.option("--output-price", type=Number(min=0), default=0.60, show_default=True,
                 help="Of the API, USD per million generated tokens."),
    click.option("--gpu-price", type=Number(min=0), default=1.0, show_default=True,
                 help="Of a replica, USD per hour."),
    click.option("--prefill", type=_POSITIVE, default=8000.0, show_default=True,
                 help="Prompt tokens/s of a replica."),
    click.option("--decode", type=_POSITIVE, default=1000.0, show_default=True,
                 help="Generated tokens/s of a replica."),
    click.option("--cold-start", type=_POSITIVE, default=90.0, show_default=True, help="Seconds."),
    click.option("--max", "most", type=click.IntRange(min=0), default=10_000, help="Replicas."),
    click.option("--warm-up", type=Number(0, 1, max_open=True), default=0.5,
                 show_default=True, help="Share of the trace that does not count."),
    click.option("--step", type=_POSITIVE, default=5.0, show_default=True,
                 help="Seconds of a step of the fluid model."),
    click.option("--seed", type=int, default=1, help="Of the events model."),
    click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]),
                 default="table", show_default=True, help="Form of the answer."),
]  # fmt: skip


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_POLICIES = "\b\nPolicies:\n" + "\n".join(
    f"  {name:<15} {what}" for name, (what, _) in POLICIES.items()
)


@click.command(epilog=_POLICIES)
@_options
def simulate(
    path: Path, names: tuple[str, ...], model: str, stretch: float, form: str, **given: float
) -> None:
    """Replay a trace of requests under scaling policies, and count what they cost.

    The trace is a CSV with a line for each request: TIMESTAMP, ContextTokens, GeneratedTokens, as
    in Azure's public traces of LLM inference; or the access log of your routers, as `kubectl logs`
    gives it. Its first half is warm-up, its second half counts.

    \b
    --model fluid   in seconds; work is served or goes to the API at once, and "oracle" is the
                    exact optimum, which knows the future. Compare costs here.
    --model events  slower; engines batch, queue and run out of KV cache, cold starts vary, the
                    API has a latency. Look here for objectives that are missed (SLO, DELAYED:
                    2 s to the first token, 100 ms between tokens) and for requests LOST.

    REVERSALS counts changes of direction: down after up, or up after down.

    \b
    Is the API or a GPU cheaper for this traffic, and how close to the best does the operator get?
      hinf simulate --trace code.csv --policy hybrid --policy hpa --policy oracle
    What would a dearer API and GPU change?
      hinf simulate --trace code.csv --policy all --input-price 2.5 --output-price 10 --gpu-price 4
    And ten times the traffic, with queues?
      hinf simulate --trace code.csv --policy hybrid --model events --volume 10
    What would scaling have cost for what my users asked (spec.router.accessLog: true)?
      kubectl logs -l app.kubernetes.io/component=router --tail=-1 > access.log
      hinf simulate --trace access.log --policy all
    """  # noqa: D301  \b is a character to click: what follows keeps its lines
    try:
        found = reading.read(path)
    except reading.TraceError as error:
        raise BadInputError(str(error)) from None
    seed = int(given.pop("seed"))
    setting = _setting(given)
    found = trace.stretched(found, stretch) if stretch != 1 else found
    chosen = tuple(POLICIES) if "all" in names else tuple(dict.fromkeys(names))
    results = {}
    for name in _told(chosen, len(found.requests) * setting.volume):
        results[name] = run(found, setting, name, model, seed)
    documents = {name: document(each) for name, each in results.items()}
    only = documents[chosen[0]] if len(chosen) == 1 else documents
    emit(only, form, _page(documents))


def _told(names: tuple[str, ...], requests: int) -> Iterator[str]:
    """Yield the policies; a terminal shows how far they are."""
    with click.progressbar(
        names,
        label=f"{requests:,} requests",
        item_show_func=lambda name: name,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        yield from bar


def _setting(given: dict[str, Any]) -> Setting:
    prices = fluid.Prices(
        given.pop("input_price"), given.pop("output_price"), given.pop("gpu_price")
    )
    return fluid.Setting(prices, **given)


def run(found: Trace, setting: Setting, name: str, model: str, seed: int = 1) -> Result:
    """Return what the policy `name` does in the `model`."""
    load = fluid.load(found, setting)
    if model == "fluid":
        return replay(load, name)
    # Copies of a request at the very same moment would be a burst that nobody sent.
    found = trace.multiplied(found, setting.volume) if setting.volume > 1 else found
    setting = replace(setting, volume=1)
    if name == "oracle":
        schedule = fluid.optimum(load).schedule
        return Simulation(found, setting, _ahead(schedule, setting), seed).run()
    return Simulation(found, setting, POLICIES[name][1](load), seed).run()


def _ahead(schedule: list[int], setting: Setting) -> Replay:
    """Return the optimum's schedule, asked for a cold start early: it names what serves."""
    lead = int(setting.cold_start / setting.step)
    early = [max(schedule[at : at + lead + 1]) for at in range(len(schedule))]
    return Replay(early, setting.step)


def document(result: Result) -> dict[str, Any]:
    """Return a result with the units in its names."""
    return {
        "gpu_hours": round(result.gpu_hours, 4),
        "gpu_usd": round(result.gpu_usd, 4),
        "api_usd": round(result.api_usd, 4),
        "total_usd": round(result.total_usd, 4),
        "slo_attainment": round(result.slo_attainment, 5),
        "delayed": result.delayed,
        "lost": result.lost,
        "reversals": result.reversals,
    }


def _page(documents: dict[str, dict[str, Any]]) -> str:
    head = (
        "POLICY",
        "GPU-HOURS",
        "GPU USD",
        "API USD",
        "TOTAL USD",
        "SLO",
        "DELAYED",
        "LOST",
        "REVERSALS",
    )
    rows = [
        (
            name,
            f"{each['gpu_hours']:.2f}",
            f"{each['gpu_usd']:.2f}",
            f"{each['api_usd']:.2f}",
            f"{each['total_usd']:.2f}",
            f"{each['slo_attainment']:.1%}",
            each["delayed"],
            each["lost"],
            each["reversals"],
        )
        for name, each in documents.items()
    ]
    return table(head, rows)
