"""What an operator wrote, by the API server's audit log: which verbs, of what, and why."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from hybrid_operator.api.base import GROUP, PLURAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {
            "level": "Request",
            "resources": [{"group": GROUP, "resources": [f"{PLURAL}/status"]}],
        },
        {"level": "Metadata"},
    ],
}
AGENT = "hybridinference-operator"


def writes(log: Path, since: int = 0) -> Counter[str]:
    """Count the operator's writes but the Lease's: "patch deployments/scale" and so on.

    What is patched of a status is named by the fields that the write before did not have so.

    Args:
        log: JSON lines of `audit.k8s.io/v1`, written by `POLICY`.
        since: How much of it to skip, in bytes.
    """
    found: Counter[str] = Counter()
    statuses: dict[str, Any] = {}
    for at, event in _events(log):
        target = event.get("objectRef", {})
        if not event["userAgent"].startswith(AGENT) or target.get("resource") == "leases":
            continue
        what = "/".join(part for part in (target["resource"], target.get("subresource")) if part)
        stated = (event.get("requestObject") or {}).get("status")
        if stated is not None:
            name = f"{target.get('namespace')}/{target['name']}"
            before, statuses[name] = statuses.get(name), stated
            if before is not None:
                what = f"{what} of {', '.join(sorted(_changed(before, stated, '')))}"
        if at >= since:
            found[f"{event['verb']} {what}"] += 1
    return found


def _events(log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield where in the log each event begins, and the event."""
    at = 0
    with log.open("rb") as lines:
        for line in lines:
            yield at, json.loads(line)
            at += len(line)


def _changed(one: Any, other: Any, path: str) -> set[str]:
    """Return the paths that differ, items of lists not told apart."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(name, one.get(name), other.get(name)) for name in one.keys() | other.keys()]
        return {
            each
            for name, mine, theirs in pairs
            if mine != theirs
            for each in _changed(mine, theirs, f"{path}.{name}".removeprefix("."))
        }
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return {
            each
            for mine, theirs in zip(one, other, strict=True)
            if mine != theirs
            for each in _changed(mine, theirs, f"{path}[]")
        }
    return {path}


__all__ = ["POLICY", "writes"]
