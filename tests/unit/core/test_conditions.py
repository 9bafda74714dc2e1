"""The table of states and conditions: tests/golden/conditions/, and the same in docs/conditions.md.

`UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/core/test_conditions.py` writes both anew.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from hybrid_operator.api.read import parse
from hybrid_operator.api.status import HybridInferenceStatus
from hybrid_operator.core.conditions import MAX_MESSAGE
from hybrid_operator.core.plan import plan
from tests.support.golden import GOLDEN, ROOT, check_file
from tests.support.health import argo_cd, kstatus
from tests.support.resources import MINIMAL, NOW, observed, owner
from tests.support.specs import as_said
from tests.support.states import STATES, down, plain, provider, settled

DOCS = ROOT / "docs" / "conditions.md"
COLUMNS = (
    "Ready",
    "Degraded",
    "Progressing",
    "EnginesReady",
    "RouterReady",
    "ProvidersReachable",
)
CALM = {
    "Fits": "True",
    "Schedulable": "True",
    "Valid": "True",
    "Supported": "True",
    "UpdateAvailable": "False",
    "ScalingActive": "True",
}
"""Conditions that are named only where they are not as usual."""


def _conditions(status: Any) -> dict[str, Any]:
    return {each["type"]: each for each in status["conditions"]}


def _cell(condition: Any) -> str:
    return f"{condition['status']}: {condition['reason']}"


def _table() -> str:
    head = ("State", *COLUMNS, "Also", "Argo CD", "kstatus")
    rows = [head, tuple("---" for _ in head)]
    for name, seen, planner in STATES:
        status = planner(seen).status
        found = _conditions(status)
        also = [f"{kind} {_cell(found[kind])}" for kind, usual in CALM.items()
                if kind in found and found[kind]["status"] != usual]  # fmt: skip
        generation = seen.owner.generation
        health = argo_cd(status, generation), kstatus(status, generation)
        rows.append((name, *(_cell(found[kind]) for kind in COLUMNS), ", ".join(also), *health))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_every_state_says_what_the_table_says():
    check_file(GOLDEN / "conditions" / "table.md", _table())


def test_the_docs_have_the_same_table():
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    text = DOCS.read_text()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    check_file(DOCS, pattern.sub(lambda _: begin + _table() + end, text))


def test_every_message_is_one_that_was_read_by_a_person():
    said = {
        name: {
            each["type"]: each["message"]
            for each in planner(seen).status["conditions"]
            if each["message"]
        }
        for name, seen, planner in STATES
    }
    text = yaml.safe_dump(said, sort_keys=False, width=100, allow_unicode=True)
    check_file(GOLDEN / "conditions" / "messages.yaml", text)


@pytest.mark.parametrize(("name", "seen", "planner"), STATES, ids=[name for name, _, _ in STATES])
def test_the_status_fits_the_crd(name, seen, planner):
    del name
    status = planner(seen).status
    read = parse(HybridInferenceStatus, status, "status", strict=True)
    assert as_said(read, status) == status
    assert len(yaml.safe_dump(status)) < 32 * 1024


def test_the_time_of_a_condition_changes_with_its_status_alone():
    before = replace(settled(), status=plain(settled()).status)
    later = NOW + timedelta(hours=1)
    broken = replace(down(reason="CrashLoopBackOff", restarts=4), status=before.status)
    after = _conditions(plan(broken, later).status)
    assert after["EnginesReady"]["lastTransitionTime"] == "2026-11-23T13:00:00Z"
    assert after["RouterReady"]["lastTransitionTime"] == "2026-11-23T12:00:00Z"


def _events(before: Any, after: Any) -> list[tuple[str, str, str]]:
    seen = replace(after, status=plain(before).status)
    return [(each.type, each.reason, each.message) for each in plan(seen, NOW).events]


def test_an_event_tells_of_each_change_and_of_nothing_else():
    broken = down(reason="CrashLoopBackOff", restarts=4)
    assert _events(broken, broken) == []
    told = _events(settled(), broken)
    assert [(kind, reason) for kind, reason, _ in told] == [
        ("Warning", "Crashing"),
        ("Warning", "Crashing"),
    ]
    assert [(kind, reason) for kind, reason, _ in _events(broken, settled())] == [
        ("Normal", "AsAsked"),
        ("Normal", "AllReady"),
    ]


def test_the_first_event_tells_what_was_made_and_none_that_it_is_not_there_yet():
    (told,) = plan(observed(), NOW).events
    assert told.reason == "Created"
    assert "Deployment support-router" in told.message


def test_what_is_wrong_from_the_start_is_told_at_once():
    invalid = replace(observed(), spec=None, spec_error="spec.models: missing")
    told = {(each.type, each.reason) for each in plan(invalid, NOW).events}
    assert ("Warning", "InvalidSpec") in told


def test_that_a_resource_begins_to_serve_is_one_event():
    told = _events(observed(), settled())
    assert _events(settled(), settled()) == []
    assert [(kind, reason) for kind, reason, _ in told] == [("Normal", "Serving")]


def test_a_provider_that_fails_is_told_once():
    told = _events(settled(), provider(last_status=401))
    assert ("Warning", "KeyRefused") in {(kind, reason) for kind, reason, _ in told}


def test_messages_are_cut_to_what_the_crd_holds():
    seen = replace(settled(), spec=None, spec_error="x" * 5000)
    found = _conditions(plan(seen, NOW).status)
    assert all(len(each["message"]) <= 1024 for each in found.values())
    assert found["Valid"]["message"].endswith("…")


def test_of_many_names_only_as_many_are_said_as_there_is_room_for():
    aliases = [
        {"name": f"{number:02}" + "x" * 120, "local": ["llama-3-8b"]} for number in range(16)
    ]
    seen = settled(MINIMAL + yaml.safe_dump({"routing": {"aliases": aliases}}))
    assert len(_conditions(plain(seen).status)["Ready"]["message"]) == MAX_MESSAGE


def test_a_release_of_vllm_that_nobody_made_breaks_nothing():
    text = MINIMAL.replace(
        "{type: a10g}", '{type: a10g}\n    engine: {version: "0.12345678901234"}'
    )
    status = plain(observed(text)).status
    parse(HybridInferenceStatus, status, "status", strict=True)


def test_no_status_of_the_largest_resource_is_too_large():
    model = "{name: llama-3-8b-%d, catalog: llama-3-8b, accelerator: {type: a10g}}"
    text = f"models: [{', '.join(model % number for number in range(16))}]"
    seen = observed(text, owner=owner("a" * 50, "n" * 63))
    assert len(yaml.safe_dump(plan(seen, NOW).status)) < 32 * 1024


def test_an_operator_that_starts_says_of_autoscaling_what_was_said():
    blind = replace(settled(), scaling={"llama-3-8b": False})
    before = plain(blind).status
    starts = replace(settled(), status=before)
    assert (
        _conditions(plain(starts).status)["ScalingActive"] == _conditions(before)["ScalingActive"]
    )
    assert "ScalingActive" not in _conditions(plain(replace(starts, scaling={})).status)
    assert [each[1] for each in _events(settled(), blind)] == ["NoMetrics"]
