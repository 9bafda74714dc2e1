"""Which calibration state is in force: offered, refused, of another model, taken back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from hybrid_operator.core import calibration
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import Observed, Outcomes, Plan, Ref
from hybrid_router.table import Calibration, HeldOut, Map, decode, encode_calibration
from tests.support.resources import MINIMAL, NOW, applied, observed, running

TABLE = Ref("ConfigMap", "support-router")
HISTORY = Ref("ConfigMap", "support-router-calibration")


def state(offset: float, after: float = 0.5) -> Calibration:
    held = HeldOut(
        outcomes=99, log_loss_before=0.6, log_loss_after=after, brier_before=0.2, brier_after=0.1
    )
    return Calibration(
        classifier="embedded", model="m1", maps={"*": Map(offset=offset)}, held_out=held
    )


OLD, NEW = state(-0.1), state(-0.2)


def offering(before: Observed, offered: Calibration | str | None) -> Observed:
    if offered is None:
        return replace(before, offer=None)
    text = offered if isinstance(offered, str) else encode_calibration(offered).decode()
    return replace(before, offer=calibration.manifest("team-a", "outcomes", "support", text))


def asking() -> Observed:
    return observed(MINIMAL + "\nrouting: {calibration: {configMap: outcomes}}\n")


def judged(before: Observed, **outcomes: tuple[int, int]) -> Observed:
    told = {name.strip("_"): Outcomes(*each) for name, each in outcomes.items()}
    first, *rest = before.reports
    return replace(before, reports=(replace(first, outcomes=told), *rest))


def after(before: Observed) -> Observed:
    return running(applied(before, plan(before, NOW)))


def condition(done: Plan) -> tuple[str, str, str]:
    found: dict[str, Any] = next(c for c in done.status["conditions"] if c["type"] == "Calibrated")
    return found["status"], found["reason"], found["message"]


def in_force(before: Observed) -> Calibration | None:
    return decode(before.children[TABLE]["data"]["table.json"].encode()).policy.calibration


def test_without_a_word_of_it_nothing_is_said_and_nothing_is_kept() -> None:
    done = plan(observed(MINIMAL), NOW)
    assert not [c for c in done.status["conditions"] if c["type"] == "Calibrated"]
    assert "calibration" not in done.status


def test_a_state_that_is_offered_comes_into_the_table_and_a_settled_one_writes_nothing() -> None:
    seen = after(offering(asking(), OLD))
    done = plan(seen, NOW)
    assert in_force(seen) == OLD
    assert condition(done)[:2] == ("True", "InForce")
    assert done.status["calibration"] == {"state": OLD.digest, "outcomes": 99}
    assert not done.apply


@pytest.mark.parametrize(
    ("offered", "reason", "words"),
    [
        pytest.param(None, "NotOffered", "hinf classifier apply", id="nothing is there"),
        pytest.param("{}", "Refused", "missing required field", id="no state"),
        pytest.param(
            encode_calibration(state(0.1, after=0.7)).decode(), "Refused", "worse than what it",
            id="its own figures speak against it",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_leaves_the_state_in_force(
    offered: str | None, reason: str, words: str
) -> None:
    before = after(offering(asking(), OLD))
    seen = after(offering(before, offered))
    status, said, message = condition(plan(seen, NOW))
    assert (status, said) == ("False", reason)
    assert words in message
    assert f"state {OLD.digest} is in force" in message
    assert in_force(seen) == OLD


def test_routers_with_another_model_are_said_so() -> None:
    seen = after(offering(asking(), OLD))
    first, *rest = seen.reports
    seen = replace(seen, reports=(replace(first, states={OLD.digest: False}), *rest))
    assert condition(plan(seen, NOW))[1] == "OtherModel"


def test_a_state_of_other_local_models_is_not_taken_and_one_in_force_rests() -> None:
    seen = after(offering(asking(), structs.replace(OLD, served=("llama-3-8b", "phi-4"))))
    assert condition(plan(seen, NOW))[1] == "InForce"
    moved = MINIMAL.replace("name: llama-3-8b", "name: mine\n    catalog: llama-3-8b")
    spec = observed(moved + "\nrouting: {calibration: {configMap: outcomes}}\n").spec
    other = after(replace(seen, spec=spec))
    assert in_force(other) is None
    assert condition(plan(other, NOW))[1] == "OtherModel"
    assert in_force(after(replace(other, spec=seen.spec))) is not None


def test_a_state_of_answers_that_an_adapter_gave_is_taken() -> None:
    lora = "loras: [{name: sql, source: {pvc: {claim: adapters, path: sql}}}]"
    adapted = MINIMAL.replace("accelerator:", f"{lora}\n    accelerator:")
    asked = observed(adapted + "\nrouting: {calibration: {configMap: outcomes}}\n")
    seen = after(offering(asked, structs.replace(OLD, served=("sql",))))
    assert condition(plan(seen, NOW))[1] == "InForce"
    assert in_force(seen) is not None


def rolled_out() -> Observed:
    """Return a cluster in which NEW has followed OLD, under which 180 of 200 were good."""
    before = judged(after(offering(asking(), OLD)), **{OLD.digest: (180, 20)})
    return after(offering(before, NEW))


@pytest.mark.parametrize(
    ("good", "bad", "stays"),
    [
        pytest.param(100, 100, False, id="far worse"),
        pytest.param(82, 18, True, id="worse, but so may chance be"),
        pytest.param(2, 27, True, id="too few are judged"),
        pytest.param(100, 0, True, id="better"),
    ],
)
def test_a_state_under_which_answers_are_worse_is_taken_back(
    good: int, bad: int, *, stays: bool
) -> None:
    seen = judged(rolled_out(), **{NEW.digest: (good, bad)})
    assert in_force(seen) == NEW
    done = plan(seen, NOW)
    told = after(seen)
    assert in_force(told) == (NEW if stays else OLD)
    if not stays:
        assert condition(done)[:2] == ("False", "RolledBack")
        assert "50% of 200 judged answers were good, before 90% of 200" in condition(done)[2]
        assert any(e.type == "Warning" and e.reason == "RolledBack" for e in done.events)
        assert condition(plan(told, NOW))[1] == "RolledBack"  # and it is not taken again
        assert not plan(told, NOW).apply
        assert in_force(after(offering(told, state(-0.3)))) == state(-0.3)


def test_a_state_is_taken_back_by_hand_and_the_one_before_comes_again() -> None:
    seen = rolled_out()
    owner = replace(seen.owner, annotations={calibration.REJECT: NEW.digest})
    told = after(replace(seen, owner=owner))
    assert in_force(told) == OLD
    assert condition(plan(told, NOW))[1] == "RolledBack"
    assert plan(told, NOW).status["calibration"]["state"] == OLD.digest


def test_the_memory_of_states_goes_with_the_wish_for_them() -> None:
    before = rolled_out()
    plain = observed(MINIMAL)
    done = plan(replace(before, spec=plain.spec), NOW)
    assert HISTORY in done.delete


def test_a_memory_that_somebody_broke_is_as_good_as_none() -> None:
    assert calibration.read({"data": {calibration.HISTORY_KEY: "{"}}) == calibration.History()
