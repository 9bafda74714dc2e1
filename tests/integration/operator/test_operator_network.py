"""An operator whose API server goes away and comes back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import yaml

from hybrid_operator.core import naming
from tests.support.operators import Cluster, resource, until
from tests.support.tcp_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)

AWAY_SECONDS = 25.0
"""Longer than a Lease stands."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[Proxy, Path]]:
    """A network that can be cut, and a kubeconfig that leads through it."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    assert server.hostname is not None
    network = Proxy((server.hostname, server.port or 443))
    cluster = config["clusters"][0]["cluster"]
    cluster["server"] = f"https://127.0.0.1:{network.port}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield network, path
    network.close()


def test_an_api_server_that_was_away_finds_the_operator_at_work_again(
    own_cluster: Cluster, start, proxy
):
    network, kubeconfig = proxy
    operator = start(KUBECONFIG=str(kubeconfig))
    operator.until_leading()
    own_cluster.apply(resource("patient"))
    own_cluster.until_settled("patient")
    network.cut()
    until(lambda: "not leading any more" in operator.log, "it stops leading")
    own_cluster.delete("Role", naming.router("patient"))
    own_cluster.apply(resource("patient", routing={"threshold": "0.5"}))
    time.sleep(AWAY_SECONDS - 10)
    assert operator.process.poll() is None, operator.log
    network.mend()
    until(lambda: own_cluster.get("Role", naming.router("patient")), "the Role is made again", 60)
    until(lambda: own_cluster.observed("patient"), "the change is acted on", 60)
    assert operator.process.poll() is None, operator.log
    assert "Traceback" not in operator.log
    assert operator.stop() == 0
