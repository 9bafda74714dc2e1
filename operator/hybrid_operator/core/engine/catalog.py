"""The catalogue of models and of what they are good at, read when it is first asked for."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine import architecture, data, huggingface, matrices


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published model. The head of `data/models.toml` says where the figures come from."""

    name: str
    repo: str
    licence: str
    source: str
    config: dict[str, Any]
    """The fields of its config.json that memory depends on."""
    towers: int | None = None
    """Parameters of encoders for images and sound, where no formula counts them."""
    gated: bool = False
    """Whether `repo` is downloaded only with the token of somebody who accepted its licence."""
    quantized: dict[str, str] = {}
    """Repositories by the format of their weights."""

    @property
    def shape(self) -> architecture.Shape:
        """Its architecture."""
        return _shape(self.name)

    @property
    def written(self) -> str | None:
        """Format that `repo` is written in; None: 16-bit."""
        return self.shape.checkpoint.name if self.shape.checkpoint else None

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return self.shape.layer_count

    @property
    def kv_heads(self) -> int:
        """KV heads of the layers that look back; of most of them, where they differ."""
        return self._attention.kv_heads

    @property
    def head_dimension(self) -> int:
        """Elements of a head; of most layers, where they differ."""
        return self._attention.head_dimension

    @property
    def _attention(self) -> architecture.Attention:
        counted = [
            (count, layer.mixer)
            for count, layer in self.shape.layers
            if isinstance(layer.mixer, architecture.Attention)
        ]
        return max(counted, key=lambda pair: pair[0])[1]

    @property
    def parameters(self) -> int:
        """Number of parameters, embeddings included."""
        return matrices.parameters(self.shape)

    @property
    def max_length(self) -> int:
        """Tokens that it was trained for (`max_position_embeddings`)."""
        return self.shape.max_length

    @property
    def float16(self) -> bool:
        """Whether vLLM runs it in float16; it refuses to for models that overflow there."""
        return self.shape.float16


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model does at a task."""

    model: str
    percent: int
    """Share of tasks solved."""
    fine_tuned: bool = False
    api: bool = False
    """Whether it is an external API's model."""


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of work, and how models do at it. `data/tasks.toml` names the source."""

    name: str
    intent: str
    """What the router's classifier calls such prompts."""
    title: str
    scores: tuple[Score, ...]

    @property
    def ranking(self) -> list[Score]:
        """Scores, the best first."""
        return sorted(self.scores, key=lambda score: -score.percent)


class _Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Model, ...]


class _Tasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: tuple[Task, ...]


@cache
def catalogue() -> tuple[Model, ...]:
    """Return every model of the catalogue."""
    return msgspec.toml.decode(data.text("models.toml"), type=_Models).model


@cache
def tasks() -> tuple[Task, ...]:
    """Return every task that models are ranked by."""
    return msgspec.toml.decode(data.text("tasks.toml"), type=_Tasks).task


def find(name: str) -> Model | None:
    """Return the entry `name`; a `-` may stand for a `.`, which names of objects cannot hold."""
    wanted = name.replace(".", "-")
    for known, row in data.rows("models.toml", "model").items():
        if known.replace(".", "-") == wanted:
            return _read(row)
    return None


def gated(repo: str) -> bool:
    """Whether the catalogue knows that this repository asks for a token."""
    rows = data.rows("models.toml", "model").values()
    line = f'repo = "{repo}"\n'.lower()
    return any(line in row.lower() and _read(row).gated for row in rows)


@cache
def _read(row: str) -> Model:
    (found,) = msgspec.toml.decode(row, type=_Models).model
    return found


@cache
def _shape(name: str) -> architecture.Shape:
    model = _read(data.rows("models.toml", "model")[name])
    shape = huggingface.shape(model.config)
    return shape if model.towers is None else replace(shape, towers=model.towers)
