"""The planner against what vLLM's own code and vLLM's start-ups say."""

from __future__ import annotations

from collections import Counter

import pytest

from hybrid_operator.core.engine.matrices import parameters
from tests.accuracy import grid, report


def test_the_grid_has_at_least_two_hundred_cells():
    assert len(grid.cells()) >= 200
    assert len({cell.model for cell in grid.cells()}) >= 10


def test_weights_are_within_one_percent_of_vllms_model_classes():
    errors = report.weight_errors()
    assert report.percentile(errors, 0.95) <= 1.0
    assert [error for error in errors if abs(error.percent) > 2.0] == []


def test_lora_slots_are_within_one_percent_of_vllms():
    errors = report.slot_errors()
    assert len(errors) > 20
    assert [error.cell for error in errors if abs(error.percent) > 1.0] == []


def test_kv_cache_is_what_vllms_block_manager_takes_to_the_byte():
    wrong = [row for row in report.caches() if row.ours != row.theirs]
    assert wrong == []


@pytest.mark.parametrize("start", [pytest.param(s, id=s.name) for s in grid.start_ups()])
def test_the_room_that_vllm_printed_lies_between_least_and_most(start):
    assert start.plan.refusals == ()
    assert start.plan.room.low <= start.room <= start.plan.room.high


@pytest.mark.parametrize("start", [pytest.param(s, id=s.name) for s in grid.start_ups()])
def test_the_weights_that_vllm_printed_are_planned_within_two_percent(start):
    loaded = start.row["weights_gib"] * 2**30
    if start.row.get("loading_peak"):
        # Quantized as it was loaded: at most one 16-bit layer was on its way.
        loaded -= min(max(loaded - start.plan.weights, 0), _layer_bytes(start.row["model"]))
    assert start.plan.weights == pytest.approx(loaded, rel=0.02)


def _layer_bytes(model: str) -> int:
    shape = grid.shape(model)
    embeddings = 2 * shape.vocabulary * shape.hidden
    return 2 * (parameters(shape) - embeddings) // shape.layer_count


def test_nothing_is_said_to_fit_that_does_not_fit():
    counted = Counter((v.says, v.truth) for v in report.verdicts())
    assert [str(v.cell) for v in report.verdicts() if (v.says, v.truth) == ("yes", "no")] == []
    assert [str(v.cell) for v in report.verdicts() if (v.says, v.truth) == ("no", "yes")] == []
    assert counted["yes", "yes"] > 100


def test_what_vllm_refuses_to_build_is_refused():
    refused = [v for v in report.verdicts() if v.truth == "refused"]
    assert [str(v.cell) for v in refused if v.says != "refused"] == []


def test_the_page_is_what_the_reference_says():
    assert report.PAGE.read_text(encoding="utf-8") == report.page()
