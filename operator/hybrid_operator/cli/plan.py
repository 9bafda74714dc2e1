"""`hinf plan`: what would run, whether it fits, what it serves, and what it costs."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from hybrid_operator.cli import costs, offline
from hybrid_operator.cli.main import EXIT_NO, FileCommand, file_option, output_option
from hybrid_operator.cli.output import WIDTH, emit, table
from hybrid_operator.core import keyless, supported
from hybrid_operator.core.engine.arguments import arguments
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.intent import intent

if TYPE_CHECKING:
    from hybrid_operator.api.base import Problem
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.defaults import EngineDefaults
    from hybrid_operator.core.engine.fit import Fit
    from hybrid_operator.core.state import Object

GIB = 2**30
_WORDS = {True: "yes", False: "no", "borderline": "borderline", "fewer": "fewer"}


@click.command(cls=FileCommand)
@file_option
@click.option("--vllm", help="Release for models that state none; default: the operator's own.")
@output_option
def plan(path: str, vllm: str | None, output: str) -> None:
    """Show the engines that a resource becomes: fit, arguments, capacity and cost. No cluster.

    FITS is `fewer` where a model runs and holds fewer requests at once than it is to. Exit status
    1: a model cannot run, or the operator would not act on the resource.
    """
    defaults, resources = _defaults(vllm), offline.read(path)
    documents = [_document(each, defaults) for each in resources]
    form = documents[0] if len(documents) == 1 else documents
    good = all(_good(each) for each in documents)
    parts = [_page(each) for each in documents]
    emit(form, output, "\n\n".join(parts + [offline.next_step(path, resources)] * good).rstrip())
    if not good:
        raise click.exceptions.Exit(EXIT_NO)


def _defaults(vllm: str | None) -> EngineDefaults:
    if vllm is None:
        return CURRENT
    from hybrid_operator.cli import finding  # noqa: PLC0415  only for this option

    return replace(CURRENT, version=finding.version(vllm))


def _good(document: dict[str, Any]) -> bool:
    return all(each["starts"] for each in document["models"]) and not document["problems"]


def _document(resource: offline.Resource, defaults: EngineDefaults) -> dict[str, Any]:
    desired = resource.desired(defaults)
    containers = {
        each["metadata"]["labels"]["hybridinference.dev/model"]: each
        for each in desired.objects
        if each["kind"] == "Deployment"
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == "engine"
    }
    pairs = list(zip(resource.spec.models, desired.fits, strict=False))
    fleet = costs.fleet(pair for pair in pairs if not pair[1].impossible)
    refused = [fit.message for fit in desired.fits if fit.refusals]
    said = [*supported.not_acted_on(resource.spec), *keyless.warnings(resource.spec)]
    said += desired.notes
    said += [w.below(f"spec.models[{i}]") for i, each in enumerate(desired.fits)
             for w in each.warnings]  # fmt: skip
    return {
        "name": resource.owner.name,
        "namespace": resource.owner.namespace,
        "models": [
            _model(model, fit, containers.get(model.name), defaults) for model, fit in pairs
        ],
        "cost": costs.document(fleet, resource.spec),
        "problems": [*(_sentence(each) for each in desired.problems), *refused],
        "warnings": [_sentence(each) for each in said],
    }


def _model(
    model: ModelSpec, fit: Fit, deployment: Object | None, defaults: EngineDefaults
) -> dict[str, Any]:
    argv = ["vllm", "serve", *arguments(intent(model, defaults)).argv]
    found: dict[str, Any] = {
        "name": model.name,
        "fits": "fewer" if fit.verdict is False and not fit.impossible else fit.verdict,
        "reason": fit.message,
        "starts": not fit.impossible,
        "argv": argv,
        "memory": _memory(fit),
        "advice": list(fit.advice),
        "capacity_tokens_per_s": costs.capacity(fit),
    }
    if deployment is not None:
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        found["argv"] = [*container["command"], *container["args"]]
        found["replicas"] = deployment["spec"]["replicas"]
        found["image"] = container["image"]
    return found


def _memory(fit: Fit) -> dict[str, Any] | None:
    """Return the memory of each GPU; None where it is not planned."""
    plan, serving = fit.memory, fit.serving
    if plan is None or serving is None or plan.refusals:
        return None
    return {
        "gpu_memory_gib": _gib(plan.listed),
        "usable_gib": _gib(plan.usable),
        "weights_gib": _gib(plan.weights),
        "overhead_gib": _gib(plan.overhead.central),
        "kv_room_gib": _gib(plan.room.central),
        "kv_request_gib": _gib(plan.request),
        "kv_bytes_per_token": plan.bytes_per_token,
        "kv_tokens": plan.kv_tokens,
        "context": serving.context,
        "concurrency": serving.concurrency,
        "max_concurrent_sequences": plan.sequences.central,
    }


def _gib(size: int) -> float:
    return round(size / GIB, 3)


def _sentence(problem: Problem) -> str:
    return f"{problem.path}: {problem.message}"


def _page(document: dict[str, Any]) -> str:
    parts = [f"{document['namespace']}/{document['name']}"]
    if document["models"]:
        head = (
            "MODEL",
            "FITS",
            "REPLICAS",
            "WEIGHTS GiB",
            "KV GiB",
            "REQUESTS",
            "TOKENS/s",
            "IMAGE",
        )
        parts.append(table(head, [_row(each) for each in document["models"]]))
        sleeps = any(each.get("replicas") == 0 for each in document["models"])
        if any(each["starts"] for each in document["models"]):
            parts.append(textwrap.fill(costs.page(document["cost"], sleeps=sleeps), WIDTH))
    parts += [_command(each) for each in document["models"]]
    told = [each["reason"] for each in document["models"] if each["reason"]]
    reasons = [(each,) for each in told if each not in document["problems"]]
    if reasons:
        parts.append(table(("FIT",), reasons))
    parts += [
        table((kind.upper(),), [(each,) for each in document[kind]])
        for kind in ("problems", "warnings")
        if document[kind]
    ]
    return "\n\n".join(parts)


def _row(model: dict[str, Any]) -> tuple[object, ...]:
    memory = model["memory"] or {}
    return (
        model["name"],
        _WORDS.get(model["fits"], "unknown"),
        model.get("replicas", "-"),
        memory.get("weights_gib", "-"),
        memory.get("kv_room_gib", "-"),
        memory.get("max_concurrent_sequences", "-"),
        model["capacity_tokens_per_s"] or "-",
        model.get("image", "not started"),
    )


def _command(model: dict[str, Any]) -> str:
    """Return the engine's command line, an option a line, ready to be pasted."""
    first, *rest = model["argv"][2:]
    lines = [f"{model['name']}: vllm serve {shlex.quote(first)}"]
    for word in rest:
        if word.startswith("-"):
            lines.append(f"    {shlex.quote(word)}")
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n".join(lines)
