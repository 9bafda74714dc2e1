"""What a local model is presumed to do well, until outcomes say more: P(good enough) by intent.

The figures are those of `data/tasks.toml`, which also says which intent a task is. Of intents that
it does not name, nothing is presumed here: the classifier's model file has its own.
"""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine import catalog, intent

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.api.routing import Alias


class Prior(msgspec.Struct, frozen=True):
    """What is presumed of tasks of one intent."""

    probability: float
    """That an average one is done well enough."""
    of: str
    """Whose figure it is, for people."""


def of_alias(spec: HybridInferenceSpec, alias: Alias) -> dict[str, Prior]:
    """Return the priors of an alias' first local model; none unless `embedded` judges."""
    if spec.routing.classifier.type != "embedded":
        return {}
    served = {
        name: model
        for model in spec.models
        for name in (model.name, *(lora.name for lora in model.loras))
    }
    first = next((name for name in alias.local if name in served), None)
    return {} if first is None else of(served[first], first)


def of(model: ModelSpec, name: str) -> dict[str, Prior]:
    """Return the priors of a model, or of the adapter of it that is called `name`, by intent."""
    entry, adapted = intent.entry(model), tuned(model, name)
    return {
        task.intent: _prior(task, entry.name if entry is not None else "", adapted=adapted)
        for task in catalog.tasks()
    }


def _prior(task: catalog.Task, entry: str, *, adapted: bool) -> Prior:
    """Return the model's own figure; where there is none, the mean of what there is of its kind."""
    alike = [s for s in task.scores if not s.api and s.fine_tuned == adapted]
    own = [s.percent for s in alike if s.model == entry]
    kind = ", fine-tuned" if adapted else ""
    if own:
        return Prior(own[0] / 100, f"{entry}{kind}")
    told = f"no figure of this model: mean of {', '.join(s.model for s in alike)}{kind}"
    return Prior(round(mean(s.percent for s in alike) / 100, 3), told)


def tuned(model: ModelSpec, name: str) -> bool:
    """Return whether the resource says that the weights were trained further by somebody.

    An adapter was. So was a model that is *built on* a catalogue entry (`catalog`) under a name and
    from a source of its own. Weights from elsewhere under the catalogue's name are taken for copies
    of the catalogue's: to presume too little only costs what the API costs.
    """
    if any(lora.name == name for lora in model.loras):
        return True
    entry = intent.entry(model)
    if model.catalog is None or model.source is None or entry is None:
        return False
    hub = model.source.hugging_face
    published = {entry.repo, *entry.quantized.values()}
    return catalog.find(model.name) is not entry and (hub is None or hub.repo not in published)
