"""What an engine's pod template was rendered from, kept on its Deployment.

Restarting an engine costs minutes and a GPU's work, so only its author or its platform engineer
may cause it, never a newer operator. Therefore the rendered template itself stays in an
annotation. As long as the resource says the same of the model, that template is the desired one:
newer defaults, another image in the chart and even other code in this package change nothing,
while a third party's edit of the live template still differs from it and is corrected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_operator.core import naming
from hybrid_operator.core.objects import meta
from hybrid_operator.core.state import Object
from hybrid_operator.core.written import canonical, said

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec

_UNRELATED = {"scaling", "cost", "architecture"}
"""Fields that shape no pod; an edit of theirs must not bring newer defaults along."""


class Record(msgspec.Struct, frozen=True):
    """One rendering."""

    revision: int
    """Of the defaults."""
    spec: str
    """Hash of what the resource said of the model."""
    version: str
    """vLLM release."""
    template: Object


def spec_hash(model: ModelSpec) -> str:
    """Return a hash of what the resource says of the model's pods."""
    shaping = {name: each for name, each in said(model).items() if name not in _UNRELATED}
    return naming.digest(canonical(shaping), length=16)


def to_annotations(record: Record) -> dict[str, str]:
    """Return the annotations that keep `record`."""
    template = canonical(record.template)
    facts = {
        "checksum": naming.digest(template, length=16),
        "revision": record.revision,
        "spec": record.spec,
        "version": record.version,
    }
    return {meta.RENDER: canonical(facts), meta.TEMPLATE: template}


def read(deployment: Object | None) -> Record | None:
    """Return what a Deployment was rendered from; None where that is missing or broken."""
    if deployment is None:
        return None
    kept = deployment.get("metadata", {}).get("annotations", {})
    template = kept.get(meta.TEMPLATE, "")
    try:
        facts: dict[str, Any] = msgspec.json.decode(kept.get(meta.RENDER, ""))
        if facts["checksum"] != naming.digest(template, length=16):
            return None
        return Record(
            int(facts["revision"]), facts["spec"], facts["version"], msgspec.json.decode(template)
        )
    except (ValueError, KeyError, TypeError):
        return None
