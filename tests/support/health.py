"""What others make of our status: Argo CD by the script in docs/conditions.md, and kstatus by its
rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def argo_cd(status: Mapping[str, Any], generation: int) -> str:
    """Return the health that the Lua script in docs/conditions.md gives."""
    found = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if status.get("observedGeneration") != generation or "Ready" not in found:
        return "Progressing"
    if found["Ready"] == "True":
        return "Healthy"
    return "Progressing" if found["Progressing"] == "True" else "Degraded"


def kstatus(status: Mapping[str, Any], generation: int) -> str:
    """Return the status that `kubectl apply --wait` tools and Flux compute.

    Source: sigs.k8s.io/cli-utils/pkg/kstatus, the rules for kinds that it does not know: an old
    generation is in progress, Stalled is a failure, Reconciling and a Ready that is not True are in
    progress.
    """
    found = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if status.get("observedGeneration") != generation:
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    if found.get("Reconciling") == "True" or found.get("Ready", "True") != "True":
        return "InProgress"
    return "Current"
