"""A calibration state, from the command line to the routers' table and back again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hybrid_operator.core import naming
from hybrid_router.table import Calibration, HeldOut, Map, decode, encode_calibration
from tests.support.operators import Cluster, model, resource, until

if TYPE_CHECKING:
    from tests.support.operators import Object

pytestmark = pytest.mark.timeout(240)

NAME = "tuned"
HINF = Path(sys.executable).with_name("hinf")


def state(offset: float) -> Calibration:
    held = HeldOut(
        outcomes=99, log_loss_before=0.6, log_loss_after=0.5, brier_before=0.2, brier_after=0.1
    )
    return Calibration(
        classifier="embedded", model="m1", maps={"*": Map(offset=offset)}, held_out=held
    )


def hinf(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(
        [HINF, "classifier", *words, "-n", cluster.namespace],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_force(cluster: Cluster) -> Calibration | None:
    table: Object = cluster.read("ConfigMap", naming.router(NAME))
    return decode(table["data"]["table.json"].encode()).policy.calibration


def until_reason(cluster: Cluster, reason: str) -> str:
    def told() -> str | None:
        found = cluster.conditions(NAME).get("Calibrated", {})
        return f"{found['message']} " if found.get("reason") == reason else None

    return until(told, f"Calibrated says {reason}") or ""


def test_a_state_is_applied_followed_replaced_and_taken_back(cluster: Cluster, tmp_path: Path):
    routing = {"calibration": {"configMap": f"{NAME}-outcomes"}}
    cluster.apply(resource(NAME, model(), routing=routing))
    cluster.until_settled(NAME)
    assert "hinf classifier apply" in until_reason(cluster, "NotOffered")
    files = []
    for number, each in enumerate((state(-0.1), state(-0.2))):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_bytes(encode_calibration(each))

    assert state(-0.1).digest in hinf(cluster, "apply", str(files[0]), NAME)
    until(lambda: in_force(cluster) == state(-0.1), "the first state is in the table")
    until_reason(cluster, "InForce")
    pods = {pod["metadata"]["uid"] for pod in cluster.all("Pod")}

    hinf(cluster, "apply", str(files[1]), NAME)
    until(lambda: in_force(cluster) == state(-0.2), "the second state is in the table")
    until(
        lambda: (
            cluster.read("HybridInference", NAME)["status"].get("calibration")
            == {"state": state(-0.2).digest, "previous": state(-0.1).digest, "outcomes": 99}
        ),
        "the status says what is in force",
    )

    assert state(-0.1).digest in hinf(cluster, "rollback", NAME)
    until(lambda: in_force(cluster) == state(-0.1), "the first state is in force again")
    assert f"state {state(-0.2).digest} was taken back" in until_reason(cluster, "RolledBack")
    events = {e["reason"] for e in cluster.all("Event", "") if e["involvedObject"]["name"] == NAME}
    assert "RolledBack" in events
    assert {pod["metadata"]["uid"] for pod in cluster.all("Pod")} == pods  # none was restarted

    broken = {"data": {"state.json": json.dumps({"classifier": "embedded"})}}
    cluster.merge("ConfigMap", f"{NAME}-outcomes", broken)
    assert "missing required field" in until_reason(cluster, "Refused")
    assert in_force(cluster) == state(-0.1)
