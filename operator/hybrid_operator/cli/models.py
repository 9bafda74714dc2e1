"""`hinf models`: the catalogue of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hybrid_operator.cli.main import BadInputError, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.core.engine.catalog import Score, Task, catalogue, find, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command()
@click.option("--task", help="Rank models by it: sql, json, intent or debugging.")
@output_option
def models(output: str, task: str | None) -> None:
    """List the models that the catalogue knows by name.

    In a resource a name without dots may be the model's own, `name: llama-3-8b`. One with dots goes
    into `catalog`, for the model's own is a DNS label: `name: llama-3-3-70b, catalog:
    llama-3.3-70b`.

    A catalogue name brings the Hugging Face repository and the model's shape. Any other model
    works with `source` stated; `hinf inspect` reads its config.json.
    """
    if task is None:
        _list(output)
    else:
        _rank(_task(task), output)


def _list(output: str) -> None:
    rows = [
        {
            "name": model.name,
            "parameters": model.parameters,
            "max_length": model.max_length,
            "layers": model.layers,
            "kv_heads": model.kv_heads,
            "head_dimension": model.head_dimension,
            "licence": model.licence,
            "gated": model.gated,
            "repo": model.repo,
            "quantized": model.quantized,
            "source": model.source,
        }
        for model in catalogue()
    ]
    cells = [
        (
            model.name,
            f"{model.parameters / 1e9:.2f}",
            model.max_length,
            model.licence,
            "gated" if model.gated else "",
            model.repo,
        )
        for model in catalogue()
    ]
    head = ("NAME", "SIZE (10^9)", "TOKENS", "LICENCE", "TOKEN", "REPO")
    emit(rows, output, f"{table(head, cells)}\n\n{_GATED}")


_GATED = (
    "gated: accept the licence on huggingface.co, and state your token in\n"
    "models[].source.huggingFace.token (examples/hybridinference.yaml)."
)


def _task(name: str) -> Task:
    wanted = name.lower().replace("text-to-", "")
    found = [each for each in tasks() if wanted.startswith(each.name)]
    if not found:
        names = ", ".join(each.name for each in tasks())
        raise BadInputError(f"models are ranked by {names}; {name!r} is none of them")
    return found[0]


def _rank(task: Task, output: str) -> None:
    rows = [
        {
            "rank": rank,
            "model": score.model,
            "percent": score.percent,
            "fine_tuned": score.fine_tuned,
            "api": score.api,
            "parameters": _parameters(score),
        }
        for rank, score in enumerate(task.ranking, start=1)
    ]
    head = ("RANK", "MODEL", "SOLVED %", "RUNS ON")
    text = f"{task.title}\n\n{table(head, list(_cells(task.ranking)))}\n\n{_CAVEAT}"
    emit({"task": task.name, "title": task.title, "ranking": rows}, output, text)


_CAVEAT = (
    "From the article that this project implements, which names neither data sets nor sample\n"
    "sizes: measure your own before you choose."
)


def _parameters(score: Score) -> int | None:
    entry = find(score.model)
    return entry.parameters if entry else None


def _cells(ranking: Iterable[Score]) -> Iterable[tuple[object, ...]]:
    for rank, score in enumerate(ranking, start=1):
        name = f"{score.model}, fine-tuned" if score.fine_tuned else score.model
        yield rank, name, score.percent, "an external API" if score.api else "own GPUs"
